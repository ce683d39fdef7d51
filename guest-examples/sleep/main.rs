//! `sleep SECONDS`: a job that is running and uses no processor, for watching, terminating and
//! draining. Fractions are fine.

use std::time::Duration;

fn main() {
    let wanted = std::env::args().nth(1).and_then(|text| text.parse::<f64>().ok());
    let Some(Ok(time)) = wanted.map(Duration::try_from_secs_f64) else {
        eprintln!("usage: sleep SECONDS");
        std::process::exit(2);
    };
    println!("sleeping for {} s", time.as_secs_f64());
    std::thread::sleep(time);
    println!("awake again");
}
