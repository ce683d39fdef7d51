//! Takes memory MiB by MiB, up to `eat-memory MIB`, and says so after each.
//!
//! Every block is written to, so the memory is really used. Nothing here handles a refusal: the
//! program ends as any program ends whose allocator gets no more memory.

const MIB: usize = 1 << 20;

fn main() {
    let Some(Ok(limit)) = std::env::args().nth(1).map(|text| text.parse::<usize>()) else {
        eprintln!("usage: eat-memory MIB");
        std::process::exit(2);
    };
    let mut eaten: Vec<Vec<u8>> = Vec::with_capacity(limit.min(4096));
    for number in 1..=limit {
        eaten.push(std::hint::black_box(vec![0xa5; MIB]));
        println!("{number} MiB");
    }
    println!("ate {} MiB", eaten.len());
}
