//! Real processes for tests: forked from the test, so that they inherit its shared memory.

#![allow(dead_code, unreachable_pub)] // each test binary uses a part of it

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitStatus;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Far more than anything takes here; only a broken test waits so long.
const DEADLINE: Duration = Duration::from_secs(60);

/// A child process. It is killed and reaped when this is dropped.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    is_reaped: bool,
}

impl Child {
    /// Forks a process that does `work` and ends: with code 0, or 1 if that panics.
    ///
    /// Other threads of the test may hold locks at this moment, which then stay locked in the child.
    /// So `work` prints nothing.
    pub fn fork(work: impl FnOnce()) -> Child {
        // SAFETY: the child runs only `work`, and ends without any destructor of the test.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork");
        if pid == 0 {
            // SAFETY: calls with numbers alone. The child dies with the thread of its test.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let code = i32::from(catch_unwind(AssertUnwindSafe(work)).is_err());
            // SAFETY: as above.
            unsafe { libc::_exit(code) };
        }
        Child { pid, is_reaped: false }
    }

    /// The same, but the child stops before it begins, and goes on by [`Self::step`].
    ///
    /// None, and a line that says so, where processes may not be traced.
    pub fn fork_traced(work: impl FnOnce()) -> Option<Child> {
        let mut child = Child::fork(|| {
            let none = std::ptr::null_mut::<libc::c_void>();
            // SAFETY: no memory is involved.
            let result = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, none, none) };
            if result == 0 {
                stop_here();
                work();
                stop_here();
            }
        });
        if let Some(signal) = child.wait_stopped() {
            assert_eq!(signal, libc::SIGSTOP);
            return Some(child);
        }
        println!("not run: ptrace not permitted");
        None
    }

    /// Has a traced child do one instruction.
    pub fn step(&mut self) -> Step {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: no memory is involved.
        let result = unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, self.pid, none, none) };
        assert_eq!(result, 0, "the child is traced and stands still");
        match self.wait_stopped() {
            Some(libc::SIGTRAP) => Step::Done,
            other => {
                assert_eq!(other, Some(libc::SIGSTOP), "its work does not fail");
                Step::End
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid.cast_unsigned()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: numbers alone; the child is not reaped, so its id is still its own.
        assert_eq!(unsafe { libc::kill(self.pid, signal) }, 0, "kill");
    }

    /// Stops the process, and returns when it stands still.
    pub fn stop(&mut self) {
        self.signal(libc::SIGSTOP);
        assert_eq!(self.wait_stopped(), Some(libc::SIGSTOP), "it was well until now");
    }

    /// Waits until the process stands still. Returns the signal that stopped it; none if it has
    /// ended.
    fn wait_stopped(&mut self) -> Option<i32> {
        let mut status = 0;
        // SAFETY: `status` is ours to write.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WUNTRACED) };
        assert_eq!(pid, self.pid, "it is our child");
        self.is_reaped = !libc::WIFSTOPPED(status);
        libc::WIFSTOPPED(status).then(|| libc::WSTOPSIG(status))
    }

    /// How the process has ended, if it has.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        let mut status = 0;
        // SAFETY: `status` is ours to write.
        let pid = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) };
        self.is_reaped = pid == self.pid;
        self.is_reaped.then(|| ExitStatus::from_raw(status))
    }

    /// Waits until the process has ended.
    pub fn wait(mut self) -> ExitStatus {
        let mut status = None;
        until("a child ends", || {
            status = self.try_wait();
            status.is_some()
        });
        status.expect("it has ended")
    }

    pub fn kill(self) -> ExitStatus {
        self.signal(libc::SIGKILL);
        self.wait()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.is_reaped {
            // SAFETY: numbers alone; the child is not reaped, so its id is still its own.
            unsafe {
                libc::kill(self.pid, libc::SIGKILL);
                libc::waitpid(self.pid, std::ptr::null_mut(), 0);
            }
        }
    }
}

/// How far a traced child has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Done,
    /// Its work is over.
    End,
}

fn stop_here() {
    // SAFETY: numbers alone.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Returns when `what` holds; panics if that takes too long.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        sleep(Duration::from_micros(200));
    }
}
