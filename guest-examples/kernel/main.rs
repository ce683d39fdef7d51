//! Computes for a while, the rounds of its first argument, and prints what came out.

mod kernel;

fn main() {
    let rounds = std::env::args().nth(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    println!("{}", kernel::work(rounds));
}
