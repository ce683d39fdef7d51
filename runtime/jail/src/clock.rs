//! The CPU time of another process.

use std::time::Duration;

use rustix::process::Pid;

/// CPU time that all threads of a process took so far; `None` when there is no such process.
pub(crate) fn process_cpu_time(process: Pid) -> Option<Duration> {
    // linux/posix-timers.h: MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED).
    let clock: libc::clockid_t = (!process.as_raw_nonzero().get() << 3) | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "rustix knows no clock of another process")]
    // SAFETY: the time is valid for writing.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    match (result, seconds, nanoseconds) {
        (0, Ok(seconds), Ok(nanoseconds)) => Some(Duration::new(seconds, nanoseconds)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processs_own_time_rises() {
        let own = || process_cpu_time(rustix::process::getpid()).unwrap();
        let before = own();
        let mut turns = 0_u64;
        while own() == before {
            turns += 1;
            assert!(turns < 1 << 32);
        }
        assert_eq!(process_cpu_time(Pid::from_raw(1 << 22).unwrap()), None);
    }
}
