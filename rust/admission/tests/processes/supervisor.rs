//! The parent: it starts workers, kills them, and cleans up after them.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::{Duration, Instant};

use penstock_admission::shm::{Watchdog, monotonic};
use penstock_admission::time::{MILLISECOND, Nanos, SECOND};
use penstock_admission::{Owner, Ticket};
use penstock_testing::fork::{Child, until};

use crate::backends::LANES;
use crate::machine::{GRACE, Machine, WORKERS};
use crate::random::Random;
use crate::worker::Worker;

/// The clock moves at most so far at once: after a pause of this process, time does not jump.
const STEP: Nanos = 5 * MILLISECOND;
/// How long to search for a worker that holds the lock, before any other is killed.
const SEARCH: Duration = Duration::from_millis(80);
/// Backends are closed for 200 ms after pushback, and the dead keep slots for half as long.
const LONGEST_PAUSE: Nanos = 3 * SECOND;
/// Owns the rows of dead workers.
const NOBODY: Owner = Owner { worker: u16::MAX, generation: 0 };

struct Life {
    child: Child,
    owner: Owner,
    lane: usize,
}

/// What a dead worker has left.
struct Remains {
    died: Nanos,
    /// Until its requests have stopped at the backends.
    lane: Option<usize>,
    /// When they do: at some moment within the abort grace.
    stops: Nanos,
    permits: Vec<Ticket>,
}

pub struct Supervisor<'a> {
    machine: &'a Machine,
    random: Random,
    lives: Vec<Life>,
    remains: Vec<Remains>,
    last: Instant,
    /// The number of requests that have begun, and when it grew last.
    started: (u64, Nanos),
    /// Workers that died with the lock.
    pub with_lock: usize,
}

impl<'a> Supervisor<'a> {
    /// Starts all workers.
    pub fn new(machine: &'a Machine, seed: u64) -> Self {
        let (lives, remains) = (Vec::new(), Vec::new());
        let (random, last) = (Random::new(seed), Instant::now());
        let started = (0, machine.now());
        let mut supervisor =
            Supervisor { machine, random, lives, remains, last, started, with_lock: 0 };
        for worker in 0..WORKERS {
            supervisor.start(worker);
        }
        supervisor
    }

    fn start(&mut self, worker: u16) {
        let lane = loop {
            match self.free_lane() {
                Some(lane) => break lane,
                None => self.turn(),
            }
        };
        let generation = self.machine.admission.begin_worker(worker);
        let owner = Owner { worker, generation };
        let (machine, seed) = (self.machine, self.random.below(u64::MAX));
        let child = Child::fork(|| Worker::new(machine, owner, lane, seed).live());
        self.lives.push(Life { child, owner, lane });
    }

    fn free_lane(&self) -> Option<usize> {
        let alive = self.lives.iter().map(|life| life.lane);
        let used: Vec<usize> =
            alive.chain(self.remains.iter().filter_map(|remains| remains.lane)).collect();
        (0..LANES).find(|lane| !used.contains(lane))
    }

    /// Lets time pass, and does the supervisor's work meanwhile.
    pub fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn();
        }
    }

    fn turn(&mut self) {
        sleep(Duration::from_micros(500));
        let passed = self.last.elapsed().as_nanos() as Nanos;
        self.last = Instant::now();
        let now = self.machine.now() + passed.min(STEP);
        // Before anything else: the requests of the dead must stop in time, even if this process was
        // paused.
        for remains in self.remains.iter_mut().filter(|remains| remains.stops <= now) {
            if let Some(lane) = remains.lane.take() {
                self.machine.backends().stop_all(lane);
            }
        }
        self.machine.set_clock(now);
        self.machine.admission.tick(now);
        self.settle_remains(now);
        let started = self.machine.backends().started();
        if started != self.started.0 || self.machine.is_draining() {
            self.started = (started, now);
        }
        assert!(now - self.started.1 < LONGEST_PAUSE, "requests wait, and nothing begins");
    }

    /// The slots of the dead are back within a second.
    fn settle_remains(&mut self, now: Nanos) {
        let is_over = |remains: &mut Remains| remains.died + SECOND <= now;
        let over: Vec<Remains> = self.remains.extract_if(.., is_over).collect();
        if over.is_empty() {
            return;
        }
        let held = self.machine.admission.permits_of(NOBODY);
        let mut permits = over.iter().flat_map(|remains| &remains.permits);
        assert!(permits.all(|ticket| !held.contains(ticket)), "the dead hold permits");
    }

    /// Kills a random worker: one that holds the lock, if one is found soon.
    pub fn kill_one(&mut self) {
        let life = self.catch(SEARCH);
        let status = life.child.kill();
        self.clean_up(life.owner, life.lane, status);
    }

    /// Stops a worker that holds the lock. All others wait until the watchdog finds it.
    pub fn freeze_a_holder(&mut self) {
        let life = self.catch(Duration::MAX);
        let mut watchdog = Watchdog::new(SECOND);
        let region = &self.machine.region;
        until("the watchdog finds it", || {
            sleep(Duration::from_millis(100));
            let stuck = watchdog.check(region.holder(), monotonic());
            stuck.is_some_and(|holder| region.kill(holder).expect("it is ours"))
        });
        let status = life.child.wait();
        self.clean_up(life.owner, life.lane, status);
    }

    /// Stops workers at random until one has the lock, or the time is over. The last one stays
    /// stopped.
    fn catch(&mut self, time: Duration) -> Life {
        let begin = Instant::now();
        loop {
            let mut life = self.random.take_any(&mut self.lives).expect("all live");
            life.child.stop();
            let holder = self.machine.region.holder();
            let has_lock = holder.is_some_and(|holder| holder.tid == life.child.pid());
            if has_lock || begin.elapsed() >= time {
                self.with_lock += usize::from(has_lock);
                return life;
            }
            life.child.signal(libc::SIGCONT);
            self.lives.push(life);
            self.turn();
        }
    }

    /// Cleans up after a dead worker, and starts its next generation.
    fn clean_up(&mut self, dead: Owner, lane: usize, status: ExitStatus) {
        assert_eq!(status.signal(), Some(libc::SIGKILL), "it was well until now: {status}");
        let died = self.machine.now();
        let admission = &self.machine.admission;
        let permits = admission.permits_of(dead);
        admission.reclaim(dead, died);
        assert_eq!(admission.permits_of(dead), []);
        let stops = died + self.random.below(GRACE);
        self.remains.push(Remains { died, lane: Some(lane), stops, permits });
        self.start(dead.worker);
    }

    /// Lets the workers finish. All of them must end well.
    pub fn drain(&mut self) {
        self.machine.drain();
        until("the workers and the dead are done", || {
            self.turn();
            self.lives.retain_mut(|life| match life.child.try_wait() {
                Some(status) => {
                    assert!(status.success(), "{status}");
                    false
                }
                None => true,
            });
            self.lives.is_empty() && self.remains.is_empty()
        });
    }
}
