//! The graph as text or picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use petgraph::stable_graph::NodeIndex;
use petgraph::visit::{EdgeRef, IntoEdgeReferences, Topo};

use super::{Edge, Graph};

/// How to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Graphviz.
    Dot,
    /// Mermaid.
    Mermaid,
    /// SVG 1.1.
    Svg,
    /// `{nodes: [{id, task, host, …}], edges: [{from, to, why}]}`.
    Json,
}

/// Draws.
#[must_use]
pub fn draw(graph: &Graph, format: Format) -> String {
    match format {
        Format::Dot => dot(graph),
        Format::Mermaid => mermaid(graph),
        Format::Svg => svg(graph),
        Format::Json => json(graph),
    }
}

fn place(graph: &Graph, node: NodeIndex) -> String {
    let node = &graph[node];
    match &node.site {
        Some(site) if *site != node.host => format!("{site} / {}", node.host),
        _ => node.host.clone(),
    }
}

fn by_place(graph: &Graph) -> BTreeMap<String, Vec<NodeIndex>> {
    let mut places: BTreeMap<String, Vec<NodeIndex>> = BTreeMap::new();
    for node in graph.node_indices() {
        places.entry(place(graph, node)).or_default().push(node);
    }
    places
}

fn dot(graph: &Graph) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut out =
        "digraph runbook {\n  rankdir=TB;\n  node [shape=box, style=rounded, fontname=sans];\n"
            .to_owned();
    for (at, (name, nodes)) in by_place(graph).into_iter().enumerate() {
        let _ = writeln!(
            out,
            "  subgraph cluster_{at} {{\n    label={};",
            quoted(&name)
        );
        for node in nodes {
            let label = format!("{}\n{}", graph[node].task, graph[node].kind).replace('\n', "\\n");
            let label = quoted(&label).replace("\\\\n", "\\n");
            let _ = writeln!(out, "    n{} [label={label}];", node.index());
        }
        out.push_str("  }\n");
    }
    for edge in graph.edge_references() {
        let style = if *edge.weight() == Edge::Order {
            ""
        } else {
            " [style=dashed, label="
        };
        let end = if style.is_empty() {
            String::new()
        } else {
            format!("{style}{}]", edge.weight().word())
        };
        let _ = writeln!(
            out,
            "  n{} -> n{}{end};",
            edge.source().index(),
            edge.target().index()
        );
    }
    out.push_str("}\n");
    out
}

fn mermaid(graph: &Graph) -> String {
    let safe = |text: &str| text.replace('"', "#quot;").replace('\n', " ");
    let mut out = "flowchart TB\n".to_owned();
    for (at, (name, nodes)) in by_place(graph).into_iter().enumerate() {
        let _ = writeln!(out, "  subgraph p{at}[\"{}\"]", safe(&name));
        for node in nodes {
            let _ = writeln!(
                out,
                "    n{}[\"{}\"]",
                node.index(),
                safe(&graph[node].task)
            );
        }
        out.push_str("  end\n");
    }
    for edge in graph.edge_references() {
        let (from, to) = (edge.source().index(), edge.target().index());
        let _ = match edge.weight() {
            Edge::Order => writeln!(out, "  n{from} --> n{to}"),
            other => writeln!(out, "  n{from} -. {} .-> n{to}", other.word()),
        };
    }
    out
}

fn json(graph: &Graph) -> String {
    let nodes: Vec<serde_json::Value> = graph
        .node_indices()
        .map(|n| {
            let node = &graph[n];
            serde_json::json!({
                "id": node.id, "task": node.task, "host": node.host, "site": node.site, "play": node.play,
                "kind": node.kind, "unfolds": node.unfolds,
            })
        })
        .collect();
    let edges: Vec<serde_json::Value> = graph
        .edge_references()
        .map(|e| {
            serde_json::json!({
                "from": graph[e.source()].id, "to": graph[e.target()].id, "why": e.weight().word(),
            })
        })
        .collect();
    let whole = serde_json::json!({ "nodes": nodes, "edges": edges });
    serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
}

const WIDTH: usize = 230;
const HEIGHT: usize = 44;
const GAP_X: usize = 24;
const GAP_Y: usize = 30;

/// Layers by longest path from the start; within a layer by place, so that branches run down side by side.
fn svg(graph: &Graph) -> String {
    let mut layer: BTreeMap<NodeIndex, usize> = BTreeMap::new();
    let mut order = Topo::new(graph);
    while let Some(node) = order.next(graph) {
        let above = graph.neighbors_directed(node, petgraph::Direction::Incoming);
        let own = above
            .filter_map(|n| layer.get(&n))
            .max()
            .map_or(0, |l| l + 1);
        layer.insert(node, own);
    }
    let mut rows: BTreeMap<usize, Vec<NodeIndex>> = BTreeMap::new();
    for (node, row) in &layer {
        rows.entry(*row).or_default().push(*node);
    }
    let widest = rows.values().map(Vec::len).max().unwrap_or(1);
    let full = widest * (WIDTH + GAP_X) + GAP_X;
    let mut spots: BTreeMap<NodeIndex, (usize, usize)> = BTreeMap::new();
    for (row, nodes) in &mut rows {
        nodes.sort_by_key(|n| (place(graph, *n), n.index()));
        let used = nodes.len() * (WIDTH + GAP_X) - GAP_X;
        let left = (full - used) / 2;
        for (at, node) in nodes.iter().enumerate() {
            spots.insert(
                *node,
                (left + at * (WIDTH + GAP_X), GAP_Y + row * (HEIGHT + GAP_Y)),
            );
        }
    }
    let tall = rows.len() * (HEIGHT + GAP_Y) + GAP_Y;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{full}\" height=\"{tall}\" viewBox=\"0 0 {full} {tall}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" \
         markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0,0 L8,4 L0,8 z\" fill=\"#666\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for edge in graph.edge_references() {
        let (Some(from), Some(to)) = (spots.get(&edge.source()), spots.get(&edge.target())) else {
            continue;
        };
        let (x1, y1) = (from.0 + WIDTH / 2, from.1 + HEIGHT);
        let (x2, y2) = (to.0 + WIDTH / 2, to.1);
        let bend = (y1 + y2) / 2;
        let dash = if *edge.weight() == Edge::Order {
            ""
        } else {
            " stroke-dasharray=\"5 3\""
        };
        let _ = writeln!(
            out,
            "<path d=\"M{x1},{y1} C{x1},{bend} {x2},{bend} {x2},{y2}\" fill=\"none\" stroke=\"#666\"{dash} \
             marker-end=\"url(#a)\"><title>{}</title></path>",
            edge.weight().word()
        );
    }
    for (node, (x, y)) in &spots {
        let name = &graph[*node].task;
        let fill = match graph[*node].kind.as_str() {
            "handler" => "#fdf3d8",
            "docker_container" => "#dcebfb",
            "ldap_update" | "pg_schema" => "#e2f4e2",
            _ => "#f4f4f4",
        };
        let _ = writeln!(
            out,
            "<g><rect x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\" fill=\"{fill}\" stroke=\"#888\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text><text x=\"{}\" y=\"{}\" text-anchor=\"middle\" \
             fill=\"#777\" font-size=\"10\">{} · {}</text><title>{}</title></g>",
            x + WIDTH / 2,
            y + 18,
            escaped(&short(name, 34)),
            x + WIDTH / 2,
            y + 34,
            escaped(&short(&place(graph, *node), 24)),
            escaped(&graph[*node].kind),
            escaped(name)
        );
    }
    out.push_str("</svg>\n");
    out
}

fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most - 1).collect();
    format!("{head}…")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
