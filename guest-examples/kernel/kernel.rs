//! A fixed amount of work for a processor: calls, integer arithmetic, memory. Compiled for WASI it is a
//! guest, compiled for the machine what that guest is compared with.

/// Does the work `rounds` times and gives a number that depends on all of it.
pub(crate) fn work(rounds: u32) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut sum = 0_u64;
    for round in 0..rounds {
        for _ in 0..200_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            sum = sum.wrapping_add(state);
        }
        sum = sum.wrapping_add(u64::from(fibonacci(20 + round % 2)));
        sum = sum.wrapping_add(primes_below(300_000 + round as usize % 2));
    }
    sum
}

fn fibonacci(n: u32) -> u32 {
    if n < 2 { n } else { fibonacci(n - 1).wrapping_add(fibonacci(n - 2)) }
}

fn primes_below(end: usize) -> u64 {
    let mut composite = vec![false; end];
    let mut count = 0;
    for number in 2..end {
        if !composite[number] {
            count += 1;
            for multiple in (number * number..end).step_by(number) {
                composite[multiple] = true;
            }
        }
    }
    count
}
