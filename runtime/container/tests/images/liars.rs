//! Registries that lie, fail, dawdle or don't end.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Test;
use crate::archive::{Tar, digest, noise};
use crate::node::Node;
use crate::pulls::small;
use crate::registry::{Registry, Reply};

pub(crate) const TESTS: &[Test] = &[
    ("bytes_that_are_not_the_digests_are_refused", bytes_that_are_not_the_digests_are_refused),
    ("a_manifest_that_is_not_its_digests_is_refused", a_manifest_that_is_not_its_digests_is_refused),
    ("no_more_is_read_than_was_promised", no_more_is_read_than_was_promised),
    ("what_a_registry_says_is_passed_on", what_a_registry_says_is_passed_on),
    ("a_busy_registry_is_asked_again", a_busy_registry_is_asked_again),
    ("nobody_waits_for_a_busy_registry_whose_image_is_here", nobody_waits_for_a_busy_registry_whose_image_is_here),
    ("a_registry_that_is_not_allowed_is_not_asked", a_registry_that_is_not_allowed_is_not_asked),
    ("a_silent_registry_is_given_up", a_silent_registry_is_given_up),
    ("a_pull_has_an_end", a_pull_has_an_end),
    ("redirections_are_followed_without_credentials", redirections_are_followed_without_credentials),
    (
        "redirections_out_of_encryption_or_in_circles_are_refused",
        redirections_out_of_encryption_or_in_circles_are_refused,
    ),
    ("a_broken_download_goes_on_where_it_broke", a_broken_download_goes_on_where_it_broke),
    ("a_later_process_goes_on_with_a_download", a_later_process_goes_on_with_a_download),
    ("a_registry_that_refuses_ranges_sends_all_of_it", a_registry_that_refuses_ranges_sends_all_of_it),
    ("a_wrong_beginning_is_fetched_anew", a_wrong_beginning_is_fetched_anew),
    ("tokens_are_not_sent_for_without_encryption", tokens_are_not_sent_for_without_encryption),
];

fn is_layer(path: &str, layer: &wasmbatch_core::Digest) -> bool {
    path.ends_with(&format!("/blobs/{layer}"))
}

/// A registry with one image of one layer that is stored as gzip, and the layer's digest.
fn one() -> (Registry, wasmbatch_core::Digest) {
    let registry = Registry::start();
    let layer = Tar::new().file("noise", &noise(300_000)).finish();
    registry.image("a", "1", std::slice::from_ref(&layer), json!({}));
    let digest = digest(&crate::archive::gzip(&layer));
    (registry, digest)
}

fn name(registry: &Registry) -> String {
    format!("{}/a:1", registry.host)
}

fn bytes_that_are_not_the_digests_are_refused() {
    let (registry, layer) = one();
    registry.behave(move |request, mut reply| {
        if is_layer(&request.path, &layer) {
            reply.body[1000] ^= 1;
        }
        reply
    });
    let node = Node::new(&registry);
    let said = node.error(&name(&registry));
    assert!(said.contains(&format!("another digest: expected {layer}, got sha256:")), "{said}");
    assert_eq!(node.names("tmp"), [""; 0]);
}

fn a_manifest_that_is_not_its_digests_is_refused() {
    let (registry, _) = one();
    registry.behave(|request, reply| {
        if request.method == "GET" && request.path.contains("/manifests/") {
            return Reply::new(200, reply.body.iter().copied().chain(*b" ").collect::<Vec<u8>>());
        }
        reply
    });
    let said = Node::new(&registry).error(&name(&registry));
    assert!(said.starts_with("manifest ") && said.contains("has another digest"), "{said}");
}

fn no_more_is_read_than_was_promised() {
    let (registry, layer) = one();
    let node = Node::new(&registry);
    // It says that it is longer.
    registry.behave(move |request, mut reply| {
        if is_layer(&request.path, &layer) {
            reply.body.push(0);
        }
        reply
    });
    let said = node.error(&name(&registry));
    assert!(said.contains("has another size: expected"), "{said}");
    // It doesn't say, and doesn't end either.
    registry.behave(move |request, mut reply| {
        if is_layer(&request.path, &layer) {
            reply.length = Some(None);
            reply.endless = true;
        }
        reply
    });
    let said = node.error(&name(&registry));
    assert!(said.contains("has another size: expected"), "{said}");
    assert_eq!(node.names("tmp"), [""; 0]);
    // It ends too early, each time.
    registry.behave(move |request, mut reply| {
        if is_layer(&request.path, &layer) && !request.headers.contains_key("range") {
            reply.body.truncate(100);
            reply.length = Some(None);
        } else if is_layer(&request.path, &layer) {
            reply.body.clear();
            reply.length = Some(None);
        }
        reply
    });
    let said = node.error(&name(&registry));
    assert!(said.contains("ended after 100 of"), "{said}");
    // A manifest of any length.
    for length in [None, Some(5 << 20)] {
        registry.behave(move |request, mut reply| {
            if request.method == "GET" && request.path.contains("/manifests/") {
                reply = Reply::new(200, vec![b' '; 1 << 20]);
                reply.length = Some(length);
                reply.endless = true;
            }
            reply
        });
        let said = node.error(&name(&registry));
        assert!(said.contains("is too large") && said.ends_with("the limit is 4194304"), "{said}");
    }
    // An error that doesn't end is cut off.
    registry.behave(|_, _| {
        let mut reply = Reply::new(403, vec![b' '; 1 << 20]);
        reply.length = Some(None);
        reply.endless = true;
        reply
    });
    assert!(node.error(&name(&registry)).ends_with("forbidden (HTTP status 403)"));
}

fn what_a_registry_says_is_passed_on() {
    let (registry, layer) = one();
    let node = Node::new(&registry);
    let name = name(&registry);
    let envelope = r#"{"errors":[{"code":"DENIED","message":"not\nyours","detail":{"x":1}},{"code":"EXTRA"}]}"#;
    registry.behave(move |_, _| Reply::new(403, envelope));
    let said = node.error(&name);
    assert_eq!(said, format!("manifest {name}: DENIED: notyours, EXTRA (HTTP status 403)"));
    registry.behave_well();
    let said = node.error(&format!("{}/missing", registry.host));
    let expected =
        format!("manifest {}/missing:latest: MANIFEST_UNKNOWN: nothing here (HTTP status 404)", registry.host);
    assert_eq!(said, expected);
    registry.forget_blob(&layer);
    let said = node.error(&name);
    let expected = format!("blob {layer} of {}/a: BLOB_UNKNOWN: nothing here (HTTP status 404)", registry.host);
    assert_eq!(said, expected);
    registry.behave(|_, _| Reply::new(500, "<html>no envelope</html>"));
    assert!(node.error(&name).ends_with("internal server error (HTTP status 500)"));
    let long = json!({"errors": [{"code": "C", "message": "m".repeat(5000)}]}).to_string();
    registry.behave(move |_, _| Reply::new(400, long.clone()));
    assert!(node.error(&name).len() < 700);
    assert!(node.error("not a name").starts_with("invalid reference"));
}

fn a_busy_registry_is_asked_again() {
    for status in [429, 500, 502, 503] {
        let (registry, _) = one();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        registry.behave(move |_, reply| match counted.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => Reply::new(status, "").header("retry-after", "0"),
            _ => reply,
        });
        Node::new(&registry).image(&name(&registry));
        assert_eq!(count.load(Ordering::SeqCst), 8);
    }
}

fn nobody_waits_for_a_busy_registry_whose_image_is_here() {
    let (registry, _) = one();
    let node = Node::new(&registry);
    let before = node.image(&name(&registry)).digest;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    registry.behave(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Reply::new(503, "")
    });
    assert_eq!(node.image(&name(&registry)).digest, before);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

fn a_registry_that_is_not_allowed_is_not_asked() {
    let (registry, _) = one();
    let node = Node::with(&registry, |options| options.allowed_registries.push("elsewhere.example".to_owned()));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    registry.behave(move |_, reply| {
        counted.fetch_add(1, Ordering::SeqCst);
        reply
    });
    assert!(node.error(&name(&registry)).ends_with("is not allowed on this node"));
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

fn a_silent_registry_is_given_up() {
    let (registry, layer) = one();
    let node = Node::with(&registry, |options| options.stall_timeout = Duration::from_millis(200));
    let begun = Instant::now();
    registry.behave(move |request, mut reply| {
        if is_layer(&request.path, &layer) {
            reply.part = 10;
            reply.pause = Duration::from_secs(3600);
        }
        reply
    });
    let said = node.error(&name(&registry));
    assert!(said.contains("nothing came for 0.2 seconds"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    // It takes connections and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let node = Node::with(&registry, |options| {
        options.stall_timeout = Duration::from_millis(200);
        options.plain_http_registries.push(silent.clone());
    });
    let said = node.error(&format!("{silent}/a"));
    assert_eq!(said, format!("{silent} cannot be reached: no answer within 0.2 seconds"));
    // What is no HTTP, and no TLS.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            use std::io::Write as _;
            let _ = stream.unwrap().write_all(b"SSH-2.0-x\r\n");
        }
    });
    assert!(node.error(&format!("{silent}/a")).contains("cannot be reached"));
    let said = Node::new(&registry).error(&format!("{silent}/a"));
    assert!(said.contains("cannot be reached"), "{said}");
}

fn a_pull_has_an_end() {
    let (registry, layer) = one();
    let node = Node::with(&registry, |options| options.pull_timeout = Duration::from_secs(1));
    registry.behave(move |request, mut reply| {
        if is_layer(&request.path, &layer) {
            reply.part = 1;
            reply.pause = Duration::from_millis(50);
        }
        reply
    });
    assert_eq!(node.error(&name(&registry)), "pulling took longer than 1 seconds");
}

fn redirections_are_followed_without_credentials() {
    let (registry, _) = one();
    let store = Registry::start();
    let elsewhere = store.host.clone();
    registry.behave(move |request, reply| {
        if request.headers.get("authorization").map(String::as_str) != Some("Basic YW5uOnNlY3JldA==") {
            return Reply::new(401, "").header("www-authenticate", "Basic realm=x");
        }
        if request.path.contains("/blobs/") {
            let location = format!("http://{elsewhere}{}?signature=secret", request.path);
            return Reply::new(307, "").header("location", &location);
        }
        reply
    });
    let stored = one().0;
    store.behave(move |request, _| {
        assert!(!request.headers.contains_key("authorization"));
        stored.usual(request.path.split('?').next().unwrap())
    });
    let keys = tempfile::NamedTempFile::new().unwrap();
    fs::write(keys.path(), json!({"auths": {&registry.host: {"auth": "YW5uOnNlY3JldA=="}}}).to_string()).unwrap();
    let node = Node::with(&registry, |options| {
        options.registry_auth = Some(keys.path().to_owned());
        options.plain_http_registries.push(store.host.clone());
    });
    node.image(&name(&registry));
    assert_eq!(store.asked("/blobs/"), 2);
    // What is secret in an address isn't told when it fails.
    store.behave(|_, _| Reply::new(403, "<xml>"));
    registry.image("b", "1", &small("other"), json!({}));
    let said = node.error(&format!("{}/b:1", registry.host));
    assert!(said.contains("forbidden (HTTP status 403)") && !said.contains("secret"), "{said}");
}

fn redirections_out_of_encryption_or_in_circles_are_refused() {
    let (registry, _) = one();
    let other = Registry::start();
    let node = Node::new(&registry);
    let redirect = |location: String| {
        registry.behave(move |request, reply| match request.path.contains("/blobs/") {
            true => Reply::new(302, "").header("location", &location),
            false => reply,
        });
        node.error(&name(&registry))
    };
    let said = redirect(format!("http://{}/x", other.host));
    assert!(said.contains("redirects to a place without encryption"), "{said}");
    assert!(redirect("file:///etc/passwd".to_owned()).contains("redirects to"));
    assert!(redirect("/v2/a/blobs/loop".to_owned()).contains("redirects too often"));
    assert!(redirect(" ".to_owned()).contains("redirects to"));
    assert!(other.requests().is_empty());
}

fn a_broken_download_goes_on_where_it_broke() {
    let (registry, layer) = one();
    registry.behave(move |request, mut reply| {
        if is_layer(&request.path, &layer) {
            // A third of what is left comes, and then the connection breaks.
            let all = reply.body.len();
            if all > 50_000 {
                reply.body.truncate(all / 3);
                reply.length = Some(Some(all));
            }
        }
        reply
    });
    let node = Node::new(&registry);
    let said = node.error(&name(&registry));
    assert!(said.contains("cannot be reached"), "{said}");
    // The beginning stays for whoever tries again.
    assert_eq!(node.names("tmp"), [format!("{}.part", layer.hex())]);
    registry.forget_requests();
    node.image(&name(&registry));
    let ranges: Vec<_> =
        registry.requests().iter().filter_map(|request| request.headers.get("range").cloned()).collect();
    assert!(!ranges.is_empty() && !ranges.contains(&"bytes=0-".to_owned()), "{ranges:?}");
    assert_eq!(node.names("tmp"), [""; 0]);
}

fn a_later_process_goes_on_with_a_download() {
    let (registry, layer) = one();
    let node = Node::new(&registry);
    let tmp = node.images().join("tmp");
    let whole = registry.bytes(&layer);
    fs::write(tmp.join(format!("{}.part", layer.hex())), &whole[..1000]).unwrap();
    let node = node.restart();
    node.image(&name(&registry));
    let asked: Vec<_> = registry.requests().into_iter().filter(|r| is_layer(&r.path, &layer)).collect();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].headers["range"], "bytes=1000-");
    // A registry that knows no ranges sends all of it.
    let (registry, layer) = one();
    registry.behave(move |request, reply| match request.headers.contains_key("range") {
        true => Reply::new(200, whole.clone()),
        false => reply,
    });
    let node = Node::new(&registry);
    fs::write(node.images().join("tmp").join(format!("{}.part", layer.hex())), [7; 1000]).unwrap();
    node.image(&name(&registry));
}

fn a_registry_that_refuses_ranges_sends_all_of_it() {
    let (registry, layer) = one();
    registry.behave(|request, reply| match request.headers.contains_key("range") {
        true => Reply::new(416, ""),
        false => reply,
    });
    let node = Node::new(&registry);
    fs::write(node.images().join("tmp").join(format!("{}.part", layer.hex())), [7; 1000]).unwrap();
    node.image(&name(&registry));
}

fn a_wrong_beginning_is_fetched_anew() {
    let (registry, layer) = one();
    let node = Node::new(&registry);
    let part = node.images().join("tmp").join(format!("{}.part", layer.hex()));
    fs::write(&part, [7; 1000]).unwrap();
    node.image(&name(&registry));
    assert_eq!(registry.requests().iter().filter(|r| is_layer(&r.path, &layer)).count(), 2);
    // Longer than it should be: nothing of it is of use.
    let (registry, layer) = one();
    let node = Node::new(&registry);
    fs::write(node.images().join("tmp").join(format!("{}.part", layer.hex())), vec![7; 1 << 20]).unwrap();
    node.image(&name(&registry));
}

fn tokens_are_not_sent_for_without_encryption() {
    let (registry, _) = one();
    let other = Registry::start();
    let realm = format!(r#"Bearer realm="http://{}/token""#, other.host);
    registry.behave(move |_, _| Reply::new(401, "").header("www-authenticate", &realm));
    let said = Node::new(&registry).error(&name(&registry));
    assert!(said.ends_with("the place for its tokens is not usable"), "{said}");
    assert!(other.requests().is_empty());
}
