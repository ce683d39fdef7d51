//! Taking time: for ever, in the guest and inside of the host's calls.

use crate::Ends;
use crate::wasi;

pub fn spin() -> Ends {
    println!("spinning");
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

fn clock(timeout: u64) -> wasi::Subscription {
    // Of kind 0, the monotonic clock is 1, and the timeout counts from now.
    [0, 0, 1, timeout, 0, 0]
}

fn poll(subscriptions: &[wasi::Subscription]) -> i32 {
    let (mut events, mut told) = (vec![[0; 4]; subscriptions.len()], 0);
    let count = i32::try_from(subscriptions.len()).expect("a small number");
    // SAFETY: both lists are of that length.
    unsafe { wasi::poll_oneoff(subscriptions.as_ptr(), events.as_mut_ptr(), count, &raw mut told) }
}

pub fn sleep_for_ever() -> Ends {
    println!("sleeping");
    loop {
        // Many at once: each is something that the host keeps.
        poll(&[clock(u64::MAX); 1000]);
    }
}

pub fn poll_for_ever() -> Ends {
    println!("polling");
    loop {
        poll(&[clock(0); 16]);
        poll(&[]);
    }
}

pub fn yield_for_ever() -> Ends {
    println!("yielding");
    loop {
        // SAFETY: it takes nothing.
        unsafe { wasi::sched_yield() };
    }
}

/// Standard input is empty; whoever doesn't believe it asks for ever.
pub fn read_for_ever() -> Ends {
    println!("reading");
    let mut room = [0; 4096];
    loop {
        let (vector, mut read) = (wasi::Vector::room(&mut room), 0);
        // SAFETY: the vector and the number are valid for the call.
        let errno = unsafe { wasi::fd_read(0, &raw const vector, 1, &raw mut read) };
        if read > 0 {
            println!("REACHED: standard input has {read} bytes, errno {errno}");
            return Some(1);
        }
    }
}

pub fn ask_clocks() -> Ends {
    let mut before = 0;
    for _ in 0..500_000 {
        let mut now = 0;
        // SAFETY: the number is valid for the call.
        unsafe { wasi::clock_time_get(1, 0, &raw mut now) };
        assert!(now >= before, "the monotonic clock went back");
        before = now;
    }
    println!("asked 500000 times");
    Some(0)
}

pub fn ask_random() -> Ends {
    let mut room = vec![0_u8; 16 << 20];
    for _ in 0..4 {
        // SAFETY: the room is valid for the call.
        let errno = unsafe { wasi::random_get(room.as_mut_ptr(), 16 << 20) };
        assert_eq!(errno, 0);
        assert!(room.iter().any(|byte| *byte != 0));
    }
    println!("got 64 MiB");
    Some(0)
}
