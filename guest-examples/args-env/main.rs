//! Prints what a job was given: its arguments in order, then its environment sorted by name,
//! one per line.

fn main() {
    for (index, argument) in std::env::args().enumerate() {
        println!("arg[{index}]={argument}");
    }
    let mut environment: Vec<(String, String)> = std::env::vars().collect();
    environment.sort();
    for (name, value) in environment {
        println!("env {name}={value}");
    }
}
