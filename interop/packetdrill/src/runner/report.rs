//! The scoreboard.

use std::collections::BTreeMap;

use super::{Outcome, Verdict};

/// Prints how many scripts of each topic pass, and why the others don't.
pub(crate) fn print(outcomes: &[Outcome]) {
    let mut topics: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        topics.entry(&outcome.topic).or_default().push(outcome);
    }
    for (topic, outcomes) in &topics {
        let passed = count(outcomes, Verdict::Passed);
        println!("{:<24} {passed:>3} of {:>3}", if topic.is_empty() { "." } else { topic }, outcomes.len());
        for outcome in outcomes.iter().filter(|outcome| outcome.verdict != Verdict::Passed) {
            let verdict = if outcome.verdict == Verdict::Skipped { "skipped" } else { "failed" };
            println!("    {verdict} {}: {}", outcome.script, outcome.reason.as_deref().unwrap_or("no word"));
        }
    }
    let all: Vec<&Outcome> = outcomes.iter().collect();
    println!(
        "{} passed, {} failed, {} skipped, of {}",
        count(&all, Verdict::Passed),
        count(&all, Verdict::Failed),
        count(&all, Verdict::Skipped),
        all.len()
    );
}

fn count(outcomes: &[&Outcome], verdict: Verdict) -> usize {
    outcomes.iter().filter(|outcome| outcome.verdict == verdict).count()
}
