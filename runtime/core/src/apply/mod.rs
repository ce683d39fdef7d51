//! A file for each family of commands. Each handler checks everything, then changes.

mod attempt;
mod definition;
mod environment;
mod job;
mod queue;
mod tag;

#[cfg(test)]
mod tests;
