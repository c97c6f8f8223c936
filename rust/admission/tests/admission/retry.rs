//! The retry time of refused requests, compared with when the queue was really served.

use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{
    Admission, Decision, Notification, PermitOutcome, Refusal, Refused, Ticket,
};

use crate::fixture::{START, backend, notifications, offer, open, refused, sizes, tier};

/// A backend that takes this long for each request, however many run, behind a queue.
struct Line {
    admission: Admission,
    now: Nanos,
    running: Vec<(Nanos, Ticket)>,
    took: Nanos,
}

impl Line {
    fn new(slots: u32, requests: u32, wait: Nanos) -> Self {
        let mut limits = tier(&[0]);
        (limits.queue_requests, limits.wait) = (requests, wait);
        let admission = open(&sizes(vec![limits], vec![backend(slots)]));
        Line { admission, now: START, running: vec![], took: 0 }
    }

    /// This many requests of `took` each at once. Returns those that were refused.
    fn burst(&mut self, requests: u32, took: Nanos) -> Vec<Refused> {
        self.took = took;
        let mut refusals = vec![];
        for _ in 0..requests {
            match self.admission.offer(&offer(), self.now) {
                Decision::Granted(grant) => self.running.push((self.now + took, grant.ticket)),
                Decision::Queued(_) => {}
                Decision::Refused(refused) => {
                    let by_load = matches!(refused.why, Refusal::QueueFull | Refusal::Unmeetable);
                    assert!(by_load, "{refused:?}");
                    refusals.push(refused);
                }
            }
        }
        refusals
    }

    /// Lets time pass. Returns when the last running or waiting request ended.
    fn wait(&mut self, time: Nanos) -> Nanos {
        let (until, mut last) = (self.now + time, self.now);
        while self.now < until {
            self.now += 5 * MILLISECOND;
            let (over, running) = self.running.iter().partition(|(ends, _)| *ends <= self.now);
            self.running = running;
            let over: Vec<(Nanos, Ticket)> = over;
            for (_, ticket) in over {
                assert!(self.admission.release(ticket, PermitOutcome::Success, self.now));
                last = self.now;
            }
            self.admission.tick(self.now);
            for notification in notifications(&self.admission, 0) {
                let Notification::Granted(grant) = notification else { continue };
                self.running.push((self.now + self.took, grant.ticket));
            }
        }
        last
    }

    /// The same burst, with a quiet time behind it. Returns the least and the greatest retry time that was
    /// told, and after what time all had been served.
    fn refusals(&mut self, requests: u32, took: Nanos) -> ([Nanos; 2], Nanos) {
        let began = self.now;
        let longest: Vec<Nanos> =
            self.burst(requests, took).iter().map(|one| one.retry_after).collect();
        let [Some(least), Some(most)] = [longest.iter().min(), longest.iter().max()] else {
            panic!("nothing was refused");
        };
        let bounds = [*least, *most];
        (bounds, self.wait(30 * SECOND) - began)
    }
}

/// A second or the true time, whichever is longer, and a fifth in both directions; a rate that was seen by
/// few events may be wrong by as much again.
#[track_caller]
fn assert_true([least, most]: [Nanos; 2], served: Nanos) {
    let right = served.max(SECOND);
    assert!(least >= right * 60 / 100, "{least} ns, but all were served after {served} ns");
    assert!(most <= right * 150 / 100, "{most} ns, but all were served after {served} ns");
}

#[test]
fn no_retry_time_is_longer_than_the_wait_would_have_been() {
    for wait in [SECOND, 3 * SECOND] {
        let mut line = Line::new(1, 1, wait);
        for _ in 0..20 {
            let longest: Vec<Nanos> =
                line.burst(6, 4 * SECOND).iter().map(|one| one.retry_after).collect();
            assert!(
                longest.iter().all(|&longest| longest <= wait && longest >= SECOND * 3 / 4),
                "{longest:?}"
            );
            line.wait(10 * SECOND);
        }
    }
}

#[test]
fn after_light_traffic_the_retry_time_is_short() {
    let mut line = Line::new(1, 1, SECOND);
    for _ in 0..8 {
        assert_eq!(line.burst(1, 100 * MILLISECOND), []);
        line.wait(9 * SECOND);
    }
    let (longest, served) = line.refusals(6, 300 * MILLISECOND);
    assert_eq!(served, 600 * MILLISECOND);
    assert_true(longest, served);
}

/// Nor is it the longest wait, where that is long and the rate not known.
#[test]
fn after_light_traffic_the_retry_time_is_short_although_the_wait_may_be_long() {
    for (slots, waiting) in [(1, 1), (1, 4), (4, 4), (4, 16), (32, 64)] {
        let mut line = Line::new(slots, waiting, 30 * SECOND);
        for _ in 0..80 {
            assert_eq!(line.burst(1, 100 * MILLISECOND), []);
            line.wait(9 * SECOND);
        }
        // The very first retry time is a guess.
        line.refusals(slots + waiting + 5, 300 * MILLISECOND);
        for _ in 0..10 {
            let (longest, served) = line.refusals(slots + waiting + 5, 300 * MILLISECOND);
            assert_true(longest, served);
        }
    }
}

#[test]
fn no_retry_time_is_longer_than_the_longest_wait() {
    for wait in [SECOND, 5 * SECOND] {
        let mut line = Line::new(1, 20, wait);
        for _ in 0..40 {
            // Slow ones, so that a rate is learned at which the queue would last for a minute.
            let refusals = line.burst(30, 3 * SECOND);
            let longest = refusals.iter().map(|refused| refused.retry_after).max();
            assert!(
                longest.is_some_and(|longest| longest <= wait * 120 / 100),
                "{longest:?} of {wait}"
            );
            line.wait(10 * SECOND);
        }
    }
}

#[test]
fn a_speed_learned_long_ago_is_still_known() {
    let mut line = Line::new(4, 16, 30 * SECOND);
    for _ in 0..100 {
        line.burst(20, 2 * SECOND);
        line.wait(SECOND);
    }
    let known = line.admission.tier(0).speed.expect("it was saturated for long");
    assert!((known - 2.0).abs() < 0.3, "{known}");
    line.wait(60 * SECOND);
    for _ in 0..60 {
        assert_eq!(line.burst(1, 100 * MILLISECOND), []);
        line.wait(9 * SECOND);
    }
    let (longest, served) = line.refusals(25, 2 * SECOND);
    assert_eq!(served, 10 * SECOND);
    assert_true(longest, served);
}

/// The other way round: it was slow once, and is fast now.
#[test]
fn bursts_show_that_it_has_become_faster() {
    let mut line = Line::new(4, 16, 60 * SECOND);
    for _ in 0..100 {
        line.burst(20, 8 * SECOND);
        line.wait(SECOND);
    }
    line.wait(120 * SECOND);
    for _ in 0..20 {
        line.refusals(25, 400 * MILLISECOND);
    }
    let (longest, served) = line.refusals(25, 400 * MILLISECOND);
    assert_true(longest, served);
}

/// Fewer slots than before, or none: the queue lasts longer, but nobody waits for longer than the longest
/// wait.
#[test]
fn a_backend_that_is_drained_does_not_make_it_long() {
    let mut line = Line::new(4, 8, 4 * SECOND);
    for _ in 0..100 {
        line.burst(12, 400 * MILLISECOND);
        line.wait(SECOND);
    }
    line.burst(12, 400 * MILLISECOND);
    line.admission.set_limits(0, 1, line.now);
    for _ in 0..40 {
        let longest = line.burst(12, 400 * MILLISECOND).iter().map(|one| one.retry_after).max();
        assert!(longest.is_some_and(|longest| longest <= 4800 * MILLISECOND), "{longest:?}");
        line.wait(SECOND);
    }
    line.admission.set_limits(0, 0, line.now);
    let refused = refused(line.admission.offer(&offer(), line.now));
    assert_eq!(refused.why, Refusal::NoBackend);
    assert!((800 * MILLISECOND..=1200 * MILLISECOND).contains(&refused.retry_after));
}
