//! What a browser sees at `/`: the node and what stands between jobs and it.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use wasmbatch_model::own::Node;

use super::node::node;
use crate::error::Dialect;
use crate::state::{Call, RequestFacts, ServerState};

/// The page loads nothing, runs nothing and stands in no other page.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

pub(crate) async fn root(State(state): State<ServerState>, Extension(facts): Extension<RequestFacts>) -> Response {
    let request_id = facts.request_id.clone();
    match node(&Call { state, facts }).await {
        Ok(node) => {
            let mut response = Response::new(Body::from(html(&node)));
            response.headers_mut().insert(header::CONTENT_TYPE, HTML);
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
            response
        }
        Err(error) => error.into_response(Dialect::RestJson, &request_id),
    }
}

fn html(node: &Node) -> String {
    let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let facts = [
        ("name", node.instance.clone()),
        ("version", node.version.clone()),
        ("vCPUs", format!("{} held of {}", node.held.vcpus, node.vcpus)),
        ("memory", format!("{} MiB held of {}", node.held.memory_mib, node.memory_mib)),
        ("GPUs", format!("{} held of {}", node.held.gpus, node.gpus)),
        ("allowed mounts", list(&node.allowed_mounts)),
        ("job network", node.job_network.clone()),
    ];
    let facts = facts.map(|(name, value)| row(&[name, &value]));
    let walls = node.walls.iter().map(|wall| {
        let state = if wall.stands { "yes" } else { "MISSING" };
        row(&[&wall.name, state, &wall.detail])
    });
    let quarantined = node.quarantined.iter().map(|module| row(&[&module.digest, &module.reason]));
    let table = |rows: Vec<String>| format!("<table>{}</table>", rows.concat());
    let section = |title: &str, rows: Vec<String>| {
        if rows.is_empty() { String::new() } else { format!("<h2>{title}</h2>{}", table(rows)) }
    };
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>wasmbatch</title>\
         <style>body{{font-family:sans-serif;margin:2em}}td{{padding:.2em 1em .2em 0}}</style></head><body>\
         <h1>wasmbatch</h1><p>AWS Batch on /v1/, CloudWatch Logs on POST /, modules and the node below \
         /wasmbatch/v1/</p>{}{}{}</body></html>\n",
        table(facts.into()),
        section("Walls", walls.collect()),
        section("Quarantined modules", quarantined.collect()),
    )
}

fn row(cells: &[&str]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
    format!("<tr>{cells}</tr>")
}

/// Text as it stands in HTML; controls, and what turns the direction of text, become visible.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.extend(character.escape_unicode()),
            _ if character.is_control() => out.extend(character.escape_unicode()),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use wasmbatch_model::own::{QuarantinedModule, Wall};

    use super::*;

    #[test]
    fn nothing_of_the_page_is_markup_that_others_wrote() {
        let hostile = "<script>'\"&\u{1b}[2J\u{202e}".to_owned();
        let module = QuarantinedModule { digest: "sha256:1".to_owned(), since: 1, reason: hostile.clone() };
        let page = html(&Node {
            allowed_mounts: vec![hostile.clone()],
            walls: vec![Wall { name: "seccomp".to_owned(), stands: false, detail: hostile }],
            quarantined: vec![module],
            ..Node::default()
        });
        let escaped = "&lt;script&gt;&#39;&quot;&amp;\\u{1b}[2J\\u{202e}";
        assert_eq!(page.matches(escaped).count(), 3, "{page}");
        assert!(!page.contains("<script>") && !page.contains('\u{1b}'));
        assert!(page.contains("<tr><td>seccomp</td><td>MISSING</td>"));
    }
}
