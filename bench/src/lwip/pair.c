/* Two ends of lwIP, joined in memory: what bench/src/lwip.rs drives.
 *
 * In C and not by way of bindings, because lwIP's API is macros, and structures whose layout depends on how it was built.
 * lwIP's state is global. Both ends are interfaces of one instance, which its queues of frames join: so connections of both
 * are in one list. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/sys.h>
#include <lwip/tcp.h>
#include <netif/ethernet.h>

/* The port that the server listens on. */
#define PORT 7
/* Frames that may be under way in each direction: a power of two. */
#define QUEUE 1024
/* Bytes of an Ethernet header, and what an MTU may be. */
#define LARGEST_FRAME (14 + 1500)
/* Bytes that the user of a bulk transfer reads into. */
#define PIECE (64 * 1024)
/* Turns after which something must have happened. */
#define PATIENCE 1000

/* Ends the program where lwIP does what it should not: also in release builds, unlike assert. */
#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                        \
    }                                                                 \
  } while (0)

/* A frame in memory of the link's, which lwIP gives back. Its own for arriving frames will not do: Debian's 2.1.3 allocates 616
 * bytes for a pbuf of PBUF_POOL, and fills it with up to 1,536. */
struct frame {
  struct pbuf_custom pbuf;
  struct frame *next_spare;
  unsigned char bytes[LARGEST_FRAME];
};

/* An end: its interface, and the frames on their way to it. */
struct end {
  struct netif netif;
  struct end *peer;
  struct pbuf *frames[QUEUE];
  unsigned head, tail;
};

/* What the user of one end of a connection has read. */
struct reader {
  uint64_t received;
  unsigned char bytes[PIECE];
};

struct connection {
  struct tcp_pcb *client, *server;
};

static struct end client, server;
static struct frame *spare;
static struct reader client_reader, server_reader;
static struct tcp_pcb *listener;
static struct tcp_pcb *newest; /* what the server has accepted last */
static struct connection *connections;
static size_t count, room;
static uint32_t microseconds;

/* In place of the library's own, which take a mutex around each allocation: there is one thread here. */
sys_prot_t sys_arch_protect(void) {
  return 0;
}

void sys_arch_unprotect(sys_prot_t before) {
  (void)before;
}

static void give_back(struct pbuf *pbuf) {
  struct frame *frame = (struct frame *)pbuf;
  frame->next_spare = spare;
  spare = frame;
}

static struct frame *take(void) {
  struct frame *frame = spare;
  if (frame != NULL) {
    spare = frame->next_spare;
  } else {
    frame = malloc(sizeof *frame);
    CHECK(frame != NULL);
    frame->pbuf.custom_free_function = give_back;
  }
  return frame;
}

/* A driver, and the wire to the other end. What it is given stays lwIP's, which may have to send it again. */
static err_t transmit(struct netif *netif, struct pbuf *given) {
  struct end *to = ((struct end *)netif->state)->peer;
  CHECK(given->tot_len <= LARGEST_FRAME);
  if (to->tail - to->head == QUEUE) {
    return ERR_MEM;
  }
  struct frame *frame = take();
  pbuf_copy_partial(given, frame->bytes, given->tot_len, 0);
  to->frames[to->tail++ % QUEUE] =
      pbuf_alloced_custom(PBUF_RAW, given->tot_len, PBUF_REF, &frame->pbuf, frame->bytes, sizeof frame->bytes);
  return ERR_OK;
}

static err_t set_up(struct netif *netif) {
  memcpy(netif->name, "me", 2);
  netif->output = etharp_output;
  netif->linkoutput = transmit;
  netif->flags = NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
  return ERR_OK;
}

static void join(struct end *end, struct end *peer, uint8_t number) {
  ip4_addr_t address, mask, gateway;
  IP4_ADDR(&address, 10, 0, 0, number);
  IP4_ADDR(&mask, 255, 0, 0, 0);
  ip4_addr_set_any(&gateway);
  end->peer = peer;
  CHECK(netif_add(&end->netif, &address, &mask, &gateway, end, set_up, ethernet_input) != NULL);
  const uint8_t mac[] = {2, 0, 0, 0, 0, number};
  memcpy(end->netif.hwaddr, mac, sizeof mac);
  end->netif.hwaddr_len = sizeof mac;
  netif_set_link_up(&end->netif);
  netif_set_up(&end->netif);
}

/* Hands an end what is on its way to it. Whether that was anything. */
static bool deliver(struct end *to) {
  bool any = to->head != to->tail;
  while (to->head != to->tail) {
    struct pbuf *frame = to->frames[to->head++ % QUEUE];
    CHECK(to->netif.input(frame, &to->netif) == ERR_OK);
  }
  return any;
}

static void drop_frames(struct end *to) {
  while (to->head != to->tail) {
    pbuf_free(to->frames[to->head++ % QUEUE]);
  }
}

/* Both ends take a turn, and a microsecond passes; or where nothing is on its way, what is missing to lwIP's next timer. */
static void step(void) {
  bool busy = deliver(&client);
  busy |= deliver(&server);
  microseconds++;
  if (!busy || microseconds == TCP_TMR_INTERVAL * 1000) {
    microseconds = 0;
    tcp_tmr();
  }
}

static err_t receive(void *reader_of_this_end, struct tcp_pcb *pcb, struct pbuf *data, err_t error) {
  struct reader *reader = reader_of_this_end;
  CHECK(error == ERR_OK);
  if (data == NULL) {
    return ERR_OK; /* The peer has finished. */
  }
  size_t at = reader->received % PIECE;
  u16_t first = (u16_t)LWIP_MIN((size_t)data->tot_len, PIECE - at);
  pbuf_copy_partial(data, reader->bytes + at, first, 0);
  pbuf_copy_partial(data, reader->bytes, data->tot_len - first, first);
  reader->received += data->tot_len;
  tcp_recved(pcb, data->tot_len);
  pbuf_free(data);
  return ERR_OK;
}

/* A connection's, or the listener's, at one end: without that, lwIP would find the other's address to be its own. */
static struct tcp_pcb *at(struct end *end) {
  struct tcp_pcb *pcb = tcp_new();
  CHECK(pcb != NULL);
  tcp_bind_netif(pcb, &end->netif);
  return pcb;
}

static void read_by(struct tcp_pcb *pcb, struct reader *reader) {
  tcp_arg(pcb, reader);
  tcp_recv(pcb, receive);
}

static err_t accept(void *nothing, struct tcp_pcb *pcb, err_t error) {
  (void)nothing;
  CHECK(error == ERR_OK);
  read_by(pcb, &server_reader);
  newest = pcb;
  return ERR_OK;
}

static void send_all(struct tcp_pcb *pcb, const unsigned char *bytes, u16_t len) {
  CHECK(tcp_write(pcb, bytes, len, TCP_WRITE_FLAG_COPY) == ERR_OK);
  CHECK(tcp_output(pcb) == ERR_OK);
}

/* Waits until an end has read so many bytes in all. */
static void read_until(const struct reader *reader, uint64_t received) {
  for (unsigned turns = 0; reader->received < received; turns++) {
    CHECK(turns < PATIENCE);
    step();
  }
}

static void begin(void) {
  lwip_init();
  join(&client, &server, 1);
  join(&server, &client, 2);
  struct tcp_pcb *pcb = at(&server);
  CHECK(tcp_bind(pcb, IP_ADDR_ANY, PORT) == ERR_OK);
  listener = tcp_listen(pcb);
  CHECK(listener != NULL);
  tcp_accept(listener, accept);
}

/* Sets the link's MTU; the first time it makes the interfaces and a listener, which stay. */
void lwip_pair_begin(uint16_t mtu) {
  if (listener == NULL) {
    begin();
  }
  client.netif.mtu = server.netif.mtu = mtu;
}

/* Opens a connection. Its number: that of those which are open. */
size_t lwip_pair_connect(void) {
  if (count == room) {
    room = 2 * room + 16;
    connections = realloc(connections, room * sizeof *connections);
    CHECK(connections != NULL);
  }
  struct connection *made = &connections[count];
  made->client = at(&client);
  read_by(made->client, &client_reader);
  newest = NULL;
  CHECK(tcp_connect(made->client, &server.netif.ip_addr, PORT, NULL) == ERR_OK);
  for (unsigned turns = 0; newest == NULL; turns++) {
    CHECK(turns < PATIENCE);
    step();
  }
  made->server = newest;
  return count++;
}

/* Sends a message of at most 64 KiB to the server and back over a connection. */
void lwip_pair_echo(size_t number, const unsigned char *message, uint16_t len) {
  const struct connection *over = &connections[number];
  client_reader.received = server_reader.received = 0;
  send_all(over->client, message, len);
  read_until(&server_reader, len);
  send_all(over->server, server_reader.bytes, len);
  read_until(&client_reader, len);
  CHECK(memcmp(client_reader.bytes, message, len) == 0);
}

/* Moves bytes from the client to the server over a connection, written in pieces of at most 64 KiB. */
void lwip_pair_bulk(size_t number, const unsigned char *piece, uint64_t bytes) {
  struct tcp_pcb *from = connections[number].client;
  uint64_t sent = 0;
  server_reader.received = 0;
  for (unsigned waited = 0; server_reader.received < bytes; waited++) {
    CHECK(waited < PATIENCE);
    uint64_t before = server_reader.received;
    while (sent < bytes && tcp_sndbuf(from) > 0) {
      u16_t len = (u16_t)LWIP_MIN((uint64_t)tcp_sndbuf(from), bytes - sent);
      if (tcp_write(from, piece, len, TCP_WRITE_FLAG_COPY) != ERR_OK) {
        break; /* There is room for bytes, and none for segments. */
      }
      sent += len;
    }
    CHECK(tcp_output(from) == ERR_OK);
    step();
    if (server_reader.received != before) {
      waited = 0;
    }
  }
}

/* Closes the connection that was opened last, the client first. */
void lwip_pair_close(void) {
  const struct connection *last = &connections[--count];
  CHECK(tcp_close(last->client) == ERR_OK);
  step();
  CHECK(tcp_close(last->server) == ERR_OK);
  step();
  CHECK(last->client->state == TIME_WAIT);
  /* TIME-WAIT is cut short: its segments have all arrived. */
  tcp_abort(last->client);
}

/* Forgets all connections, the latest first, which lwIP finds first. */
void lwip_pair_forget(void) {
  while (count > 0) {
    const struct connection *last = &connections[--count];
    tcp_abort(last->client);
    tcp_abort(last->server);
    drop_frames(&client);
    drop_frames(&server);
  }
}
