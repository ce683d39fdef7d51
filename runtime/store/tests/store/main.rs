//! The store against real redb files, crash images and torn log segments.

mod crash;
mod logs;
mod rows;
mod samples;
