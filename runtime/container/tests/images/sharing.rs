//! Pulls at the same time, pulls that are given up, what goes to make room.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde_json::json;
use wasmbatch_container::image::Resolved;
use wasmbatch_executor::{ImageError, Images as _};

use crate::Test;
use crate::archive::{Tar, noise};
use crate::node::Node;
use crate::pulls::small;
use crate::registry::{Registry, Reply};

pub(crate) const TESTS: &[Test] = &[
    ("pulls_of_one_image_are_one_pull", pulls_of_one_image_are_one_pull),
    ("images_share_layers_while_they_come", images_share_layers_while_they_come),
    ("what_nobody_waits_for_ends", what_nobody_waits_for_ends),
    ("who_stays_gets_the_image", who_stays_gets_the_image),
    ("anothers_failure_is_not_shared", anothers_failure_is_not_shared),
    ("an_image_that_is_held_stays", an_image_that_is_held_stays),
    ("the_least_recently_used_goes_first", the_least_recently_used_goes_first),
    ("shared_layers_stay_with_who_is_left", shared_layers_stay_with_who_is_left),
    ("the_owner_lists_and_removes", the_owner_lists_and_removes),
    ("many_at_once_and_a_full_store", many_at_once_and_a_full_store),
    ("a_store_that_is_dropped_ends_its_pulls", a_store_that_is_dropped_ends_its_pulls),
];

fn layer(name: &str, bytes: usize) -> Vec<u8> {
    Tar::new().file(name, &noise(bytes)).finish()
}

fn pulls_of_one_image_are_one_pull() {
    let registry = Registry::start();
    registry.image("a", "1", &[layer("x", 50_000), layer("y", 50_000)], json!({}));
    registry.behave(|request, mut reply| {
        if request.method == "HEAD" {
            // Until all have asked: the first is answered by one request, all others by the next.
            std::thread::sleep(Duration::from_millis(500));
        }
        reply.part = 10_000;
        reply.pause = Duration::from_millis(10);
        reply
    });
    let node = Node::new(&registry);
    let name = format!("{}/a:1", registry.host);
    let begun: Vec<_> = (0..20).map(|_| node.begin(&name)).collect();
    let images: Vec<_> = begun
        .iter()
        .map(|(_ticket, receiver)| match receiver.recv_timeout(Duration::from_secs(60)).unwrap().unwrap() {
            Resolved::Image(image) => image,
            Resolved::Module(_) => panic!("a module"),
        })
        .collect();
    assert!(images.iter().all(|image| Arc::ptr_eq(image, &images[0])));
    assert_eq!(registry.asked("/blobs/"), 3);
    let heads = registry.requests().iter().filter(|request| request.method == "HEAD").count();
    assert!((1..=2).contains(&heads), "{heads}");
    assert_eq!(registry.asked("/manifests/") - heads, 1);
}

fn images_share_layers_while_they_come() {
    let registry = Registry::start();
    let shared = layer("shared", 100_000);
    registry.image("a", "1", &[shared.clone(), layer("a", 10)], json!({}));
    registry.image("b", "1", &[shared, layer("b", 10)], json!({}));
    registry.behave(|_, mut reply| {
        reply.part = 10_000;
        reply.pause = Duration::from_millis(10);
        reply
    });
    let node = Node::new(&registry);
    let a = node.begin(&format!("{}/a:1", registry.host));
    let b = node.begin(&format!("{}/b:1", registry.host));
    for (_ticket, receiver) in [&a, &b] {
        receiver.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
    }
    // Two configurations, three layers.
    assert_eq!(registry.asked("/blobs/"), 5);
}

fn what_nobody_waits_for_ends() {
    let registry = Registry::start();
    registry.image("a", "1", &[layer("x", 1_000_000)], json!({}));
    let (arrived, waits) = sync_channel(8);
    registry.behave(move |request, mut reply| {
        if request.path.contains("/blobs/") && reply.body.len() > 100_000 {
            reply.part = 1000;
            reply.pause = Duration::from_millis(20);
            let _ = arrived.send(());
        }
        reply
    });
    let node = Node::new(&registry);
    let (ticket, receiver) = node.begin(&format!("{}/a:1", registry.host));
    waits.recv_timeout(Duration::from_secs(20)).unwrap();
    node.until(|node| part_length(node) > 0);
    drop(ticket);
    // Its end is the end of what would have been called.
    assert!(receiver.recv_timeout(Duration::from_secs(20)).is_err());
    let before = part_length(&node);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(part_length(&node), before);
    // What came is used by the next.
    registry.behave_well();
    node.image(&format!("{}/a:1", registry.host));
    let resumed = registry.requests().iter().filter(|request| request.headers.contains_key("range")).count();
    assert_eq!(resumed, 1);
}

fn part_length(node: &Node) -> u64 {
    let tmp = node.images().join("tmp");
    std::fs::read_dir(tmp).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn who_stays_gets_the_image() {
    let registry = Registry::start();
    registry.image("a", "1", &[layer("x", 100_000)], json!({}));
    registry.behave(|_, mut reply| {
        reply.part = 10_000;
        reply.pause = Duration::from_millis(10);
        reply
    });
    let node = Node::new(&registry);
    let name = format!("{}/a:1", registry.host);
    let (first, _) = node.begin(&name);
    let (_second, receiver) = node.begin(&name);
    std::thread::sleep(Duration::from_millis(50));
    drop(first);
    receiver.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
    assert_eq!(registry.asked("/blobs/"), 2);
}

fn anothers_failure_is_not_shared() {
    let good = Registry::start();
    let bad = Registry::start();
    for registry in [&good, &bad] {
        registry.image("a", "1", &[layer("x", 1000)], json!({}));
    }
    let node = Node::with(&good, |options| options.plain_http_registries.push(bad.host.clone()));
    let (begun, waits) = sync_channel(8);
    bad.behave(move |request, reply| {
        if request.path.contains("/blobs/") && reply.body.len() > 600 {
            let _ = begun.send(());
            std::thread::sleep(Duration::from_millis(300));
            return Reply::new(404, "");
        }
        reply
    });
    let (_first, fails) = node.begin(&format!("{}/a:1", bad.host));
    waits.recv_timeout(Duration::from_secs(20)).unwrap();
    node.image(&format!("{}/a:1", good.host));
    assert!(fails.recv_timeout(Duration::from_secs(20)).unwrap().is_err());
}

fn an_image_that_is_held_stays() {
    let registry = Registry::start();
    let digest = registry.image("a", "1", &small("x"), json!({}));
    let node = Node::with(&registry, |options| options.most_store_bytes = 0);
    let image = node.image(&format!("{}/a:1", registry.host));
    registry.image("b", "1", &small("y"), json!({}));
    drop(node.image(&format!("{}/b:1", registry.host)));
    node.until(|node| node.names("records").len() == 1);
    assert!(image.layers[0].join("etc/name").exists());
    let again = node.store.lease(&digest).unwrap();
    drop(image);
    assert!(matches!(node.store.remove(&digest.to_string()), Err(ImageError::InUse(_))));
    drop(again);
    node.until(|node| node.names("layers").is_empty());
    assert!(node.store.lease(&digest).is_none());
}

fn the_least_recently_used_goes_first() {
    let registry = Registry::start();
    let node = Node::with(&registry, |options| options.most_store_bytes = 250_000);
    let name = |letter: &str| format!("{}/{letter}:1", registry.host);
    for letter in ["a", "b"] {
        registry.image(letter, "1", &[layer(letter, 100_000)], json!({}));
        node.image(&name(letter));
        std::thread::sleep(Duration::from_millis(5));
    }
    node.image(&name("a"));
    std::thread::sleep(Duration::from_millis(5));
    registry.image("c", "1", &[layer("c", 100_000)], json!({}));
    node.image(&name("c"));
    node.until(|node| node.store.list().len() == 2);
    let names: Vec<String> = node.store.list().into_iter().map(|image| image.name).collect();
    assert_eq!(names, [name("a"), name("c")]);
    node.until(|node| node.names("layers").len() == 4);
}

fn shared_layers_stay_with_who_is_left() {
    let registry = Registry::start();
    let node = Node::new(&registry);
    registry.image("a", "1", &[layer("shared", 1000), layer("a", 1000)], json!({}));
    registry.image("b", "1", &[layer("shared", 1000), layer("b", 1000)], json!({}));
    let name = |letter: &str| format!("{}/{letter}:1", registry.host);
    node.image(&name("a"));
    let b = node.image(&name("b"));
    assert_eq!(node.names("layers").len(), 6);
    assert_eq!(node.store.remove(&name("a")), Ok(true));
    assert_eq!(node.names("layers").len(), 4);
    assert!(b.layers.iter().all(|layer| layer.exists()));
}

fn the_owner_lists_and_removes() {
    let registry = Registry::start();
    let node = Node::new(&registry);
    let digest = registry.image("a", "1", &[layer("x", 1000)], json!({}));
    registry.image("a", "2", &[layer("x", 1000)], json!({}));
    let name = |tag: &str| format!("{}/a:{tag}", registry.host);
    let image = node.image(&name("1"));
    node.image(&name("2"));
    let list = node.store.list();
    assert_eq!(list.iter().map(|image| image.name.clone()).collect::<Vec<_>>(), [name("1"), name("2")]);
    assert!(list.iter().all(|image| image.size_bytes == 1000 && image.digest == digest && !image.loaded));
    // With another name left, a name is only a name.
    assert_eq!(node.store.remove(&name("1")), Ok(true));
    assert_eq!(node.store.remove(&name("1")), Ok(false));
    assert_eq!(node.store.remove(&name("2")), Err(ImageError::InUse(name("2"))));
    drop(image);
    assert_eq!(node.store.remove(&digest.to_string()), Ok(true));
    assert!(node.store.list().is_empty());
    assert_eq!(node.store.remove("no name"), Ok(false));
    for folder in ["layers", "names", "records"] {
        assert_eq!(node.names(folder), [""; 0]);
    }
    node.until(|node| node.names("tmp").is_empty());
}

fn many_at_once_and_a_full_store() {
    let registry = Registry::start();
    for number in 0..6 {
        let layers = [layer("shared", 20_000), layer(&format!("own{number}"), 20_000)];
        registry.image(&format!("r{number}"), "1", &layers, json!({}));
    }
    let node = Node::with(&registry, |options| options.most_store_bytes = 50_000);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (node, host) = (&node, &registry.host);
            scope.spawn(move || {
                for round in 0..8 {
                    let image = node.image(&format!("{host}/r{}:1", (thread * 5 + round) % 6));
                    assert_eq!(image.layers.len(), 2);
                    for folder in &image.layers {
                        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "{}", folder.display());
                    }
                }
            });
        }
    });
    node.until(|node| node.store.list().iter().map(|image| image.size_bytes).sum::<u64>() <= 80_000);
    node.until(|node| node.names("tmp").is_empty());
    let node = node.restart();
    assert!(node.store.list().len() <= 2);
}

fn a_store_that_is_dropped_ends_its_pulls() {
    let registry = Registry::start();
    registry.image("a", "1", &[layer("x", 1_000_000)], json!({}));
    let (arrived, waits) = sync_channel(8);
    registry.behave(move |request, mut reply| {
        if request.path.contains("/blobs/") && reply.body.len() > 100_000 {
            reply.part = 1000;
            reply.pause = Duration::from_millis(20);
            let _ = arrived.send(());
        }
        reply
    });
    let node = Node::new(&registry);
    let (_ticket, receiver) = node.begin(&format!("{}/a:1", registry.host));
    waits.recv_timeout(Duration::from_secs(20)).unwrap();
    let begun = std::time::Instant::now();
    let node = node.restart();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(receiver.recv_timeout(Duration::from_secs(1)).is_err());
    registry.behave_well();
    node.image(&format!("{}/a:1", registry.host));
}
