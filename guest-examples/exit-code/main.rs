//! Ends with a chosen exit code: `exit-code CODE [SUCCEED_FROM_ATTEMPT]`.
//!
//! One line goes to standard output and one to standard error first, so that both streams can be
//! looked for in the job's log. With a second argument the program exits with 0 as soon as
//! `AWS_BATCH_JOB_ATTEMPT` has reached that number: a job that fails and then gets better.

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(Ok(wanted)) = arguments.next().map(|text| text.parse::<i32>()) else {
        eprintln!("usage: exit-code CODE [SUCCEED_FROM_ATTEMPT]");
        std::process::exit(2);
    };
    let succeed_from = arguments.next().and_then(|text| text.parse::<u32>().ok());
    let attempt = std::env::var("AWS_BATCH_JOB_ATTEMPT")
        .ok()
        .and_then(|text| text.parse::<u32>().ok())
        .unwrap_or(1);
    let code = match succeed_from {
        Some(first_good) if attempt >= first_good => 0,
        _ => wanted,
    };
    println!("attempt {attempt} exits with {code}");
    eprintln!("attempt {attempt} says goodbye on standard error");
    std::process::exit(code);
}
