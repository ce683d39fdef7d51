//! Measurements: what an attempt costs beside what it can't cost less than; what a node does with
//! large arrays and a long history.
//!
//! `cargo bench -p wasmbatch-bench` runs all, `--bench attempts` and `--bench scale` one of them.
//! Read ratios and medians: absolute numbers move with the machine's neighbours.

pub mod arrays;
pub mod attempts;
pub mod containers;
pub mod daemon;
pub mod history;
pub mod jail;
pub mod neighbours;
pub mod node;
