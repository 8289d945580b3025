//! Simulated hosts, links and time for testing netlane

pub mod impairment;
