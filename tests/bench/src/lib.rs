//! Measurements: what an attempt costs beside what it can't cost less than.
//!
//! `cargo bench -p wasmbatch-bench`. Read ratios and medians: absolute numbers move with the
//! machine's neighbours.

pub mod attempts;
pub mod node;
