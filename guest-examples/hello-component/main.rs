//! The same greeting as `hello`, built as a WASI 0.2 command component instead of a core module.

fn main() {
    match std::env::args().nth(1) {
        Some(name) => println!("hello from a component, {name}"),
        None => println!("hello from a component"),
    }
}
