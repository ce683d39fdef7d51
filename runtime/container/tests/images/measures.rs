//! How long it takes. Ignored by default: `cargo test -p wasmbatch-container --test images -- --ignored`.

use std::time::Instant;

use serde_json::json;

use crate::Test;
use crate::archive::{Tar, noise};
use crate::node::Node;
use crate::registry::Registry;

pub(crate) const TESTS: &[Test] = &[
    ("an_image_of_100_mb_is_pulled_and_removed", an_image_of_100_mb_is_pulled_and_removed),
    ("a_layer_larger_than_its_processs_memory", a_layer_larger_than_its_processs_memory),
    ("a_layer_of_many_files", a_layer_of_many_files),
];

fn a_layer_larger_than_its_processs_memory() {
    let registry = Registry::start();
    let zeros = vec![0; 700 << 20];
    registry.image("a", "1", &[Tar::new().file("a", &zeros).file("b", &zeros).finish()], json!({}));
    let node = Node::new(&registry);
    let begun = Instant::now();
    drop(node.image(&format!("{}/a:1", registry.host)));
    eprintln!("1.4 GB in one layer: {:.2?}", begun.elapsed());
}

fn a_layer_of_many_files() {
    let registry = Registry::start();
    let mut tar = Tar::new();
    for number in 0..300_000 {
        tar = tar.file(&format!("d{}/f{number}", number % 3000), b"x");
    }
    registry.image("a", "1", &[tar.finish()], json!({}));
    let node = Node::new(&registry);
    let begun = Instant::now();
    drop(node.image(&format!("{}/a:1", registry.host)));
    let pulled = begun.elapsed();
    let begun = Instant::now();
    node.store_is_emptied();
    // However busy the disk is.
    while !node.names("tmp").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    eprintln!("300,000 files: pulled in {pulled:.2?}, removed in {:.2?}", begun.elapsed());
}

/// About what a small Debian with Python is: 4,600 files, half of their bytes compressible.
fn large() -> Vec<u8> {
    let noise = noise(100 << 20);
    let mut tar = Tar::new();
    for (number, content) in noise.chunks(23_000).enumerate() {
        let folder = format!("usr/lib/{}/", number % 200);
        if number < 200 {
            tar = tar.folder(&folder);
        }
        let content: Vec<u8> = content.iter().enumerate().map(|(at, b)| if at % 2 == 0 { *b } else { 7 }).collect();
        tar = tar.file(&format!("{folder}{number}"), &content);
    }
    tar.finish()
}

fn an_image_of_100_mb_is_pulled_and_removed() {
    let registry = Registry::start();
    let tar = large();
    let small = Tar::new().file("x", b"x").finish();
    // By their place in the image they are gzip, zstd, and plain.
    for (name, layers) in [
        ("gzip", vec![tar.clone()]),
        ("zstd", vec![small.clone(), tar.clone()]),
        ("plain", vec![small.clone(), small.clone(), tar.clone()]),
    ] {
        registry.image(name, "1", &layers, json!({}));
    }
    for name in ["gzip", "zstd", "plain"] {
        let node = Node::new(&registry);
        let reference = format!("{}/{name}:1", registry.host);
        let begun = Instant::now();
        drop(node.image(&reference));
        let pulled = begun.elapsed();
        let begun = Instant::now();
        for _ in 0..100 {
            drop(node.image(&reference));
        }
        let again = begun.elapsed() / 100;
        let begun = Instant::now();
        node.store_is_emptied();
        node.until(|node| node.names("tmp").is_empty());
        let removed = begun.elapsed();
        eprintln!("{name}: pulled and unpacked {pulled:.2?}, resolved again {again:.2?}, removed {removed:.2?}");
    }
    let node = Node::new(&registry);
    let mut all = std::time::Duration::ZERO;
    for number in 0..20 {
        registry.image("small", &number.to_string(), &[Tar::new().file(&number.to_string(), b"x").finish()], json!({}));
        let begun = Instant::now();
        drop(node.image(&format!("{}/small:{number}", registry.host)));
        all += begun.elapsed();
    }
    eprintln!("an image of one file: {:.2?}", all / 20);
}
