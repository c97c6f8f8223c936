//! A clock that wakes a poll to the microsecond: by itself a poll waits in whole milliseconds.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::until;

#[derive(Debug)]
pub struct Alarm {
    timer: OwnedFd,
    /// When it rings.
    set: u64,
}

impl Alarm {
    /// An alarm that shows in the poll as a readable `token`.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Alarm { timer, set: u64::MAX })
    }

    /// Rings at `due`, in place of whatever was set. Both in nanoseconds of the same clock.
    pub fn set(&mut self, due: u64, now: u64) -> io::Result<()> {
        if self.set != due {
            self.set = due;
            // A zero would switch it off.
            let wait = until(due, now).max(Duration::from_nanos(1));
            let nanoseconds = wait.subsec_nanos().into();
            let it_value = Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: nanoseconds };
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            let once = Itimerspec { it_interval, it_value };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        }
        Ok(())
    }
}
