//! The smallest job: one line on standard output.
//!
//! `hello` prints `hello from wasmbatch`, `hello NAME` prints `hello from wasmbatch, NAME`.

fn main() {
    match std::env::args().nth(1) {
        Some(name) => println!("hello from wasmbatch, {name}"),
        None => println!("hello from wasmbatch"),
    }
}
