//! Never ends: computes for ever after one line of output. For timeouts and terminate.

fn main() {
    println!("spinning");
    let mut turns: u64 = 0;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}
