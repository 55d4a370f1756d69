//! A rule about modules: the files of a crate use each other in one direction.
//!
//! Files that use each other in a circle can only be read, tested and moved together; what both
//! need can stand in a third. A file uses another where a path in it leads there: `crate::`,
//! `super::`, or the name of a module of its own. What a module takes from those that it stands in
//! does not count: they are its surroundings, and name for it what its neighbours offer. Nor does
//! its `mod tests`, which may use what it tests with.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Finding;
use super::tree::Tree;

/// No file leads back to itself.
pub(super) fn circles(tree: &Tree) -> Vec<Finding> {
    let paths = tree.files_ending(".rs").map(|file| file.path.as_str());
    let tops: BTreeSet<&str> = paths.filter_map(top).collect();
    let circles = tops.into_iter().map(|top| circles_in(tree, top));
    circles.collect::<Vec<_>>().concat()
}

/// The folder of a crate's modules that a file is in. (Programs in `bin` are crates of their own.)
fn top(path: &str) -> Option<&str> {
    let end = path.find("/src/")? + "/src/".len();
    Some(&path[..end])
}

/// Modules, named by their path from the root of the crate, and those that each uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

fn circles_in(tree: &Tree, top: &str) -> Vec<Finding> {
    let shown = |module: &str| if module.is_empty() { "crate" } else { module }.to_owned();
    let texts: BTreeMap<String, &str> = tree
        .files_ending(".rs")
        .filter_map(|file| {
            let path = file.path.strip_prefix(top)?.strip_suffix(".rs")?;
            let is_root = path == "main" || path == "lib";
            let module = if is_root { "" } else { path };
            Some((module.replace('/', "::"), file.text.as_str()))
        })
        .collect();
    let mut uses = Uses::new();
    for (module, text) in &texts {
        let paths = paths(text);
        let others = paths.iter().filter_map(|path| used(path, module, &texts));
        let others = others.filter(|other| !is_around(other, module));
        uses.insert(module.clone(), others.collect());
    }
    let mut findings = Vec::new();
    for (module, used) in &uses {
        for way in used.iter().filter_map(|first| way(&uses, first, module)) {
            // Each circle is told once, from its first file on.
            if way.iter().any(|other| other < module) {
                continue;
            }
            let way: Vec<_> = way.iter().map(|it| shown(it)).collect();
            let problem = format!("{} uses {}", shown(module), way.join(", which uses "));
            findings.push(Finding::in_file(top, problem));
        }
    }
    findings
}

/// Whether a module is another, or one that the other stands in.
fn is_around(module: &str, other: &str) -> bool {
    let rest = other.strip_prefix(module);
    rest.is_some_and(|rest| module.is_empty() || rest.is_empty() || rest.starts_with("::"))
}

/// The module that a path in a module leads to, if it is one of this crate.
fn used(path: &[&str], module: &str, modules: &BTreeMap<String, &str>) -> Option<String> {
    // `crate` and `super` alone say who may see something.
    path.iter()
        .find(|part| !["crate", "super"].contains(part))?;
    let ups = path.iter().take_while(|part| **part == "super").count();
    let mut place: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let rest = match *path.first()? {
        "crate" => {
            place.clear();
            &path[1..]
        }
        "self" => &path[1..],
        _ => {
            place.truncate(place.len().checked_sub(ups)?);
            &path[ups..]
        }
    };
    let begin = place.len();
    for part in rest {
        place.push(part);
        if !modules.contains_key(&place.join("::")) {
            place.pop();
            break;
        }
    }
    // A name that is no module of this one is something of another crate.
    let is_elsewhere = ups == 0 && place.len() == begin && path[0] != "crate";
    (!is_elsewhere).then(|| place.join("::"))
}

/// The modules on the shortest way from one to another, with both ends.
fn way(uses: &Uses, from: &str, to: &str) -> Option<Vec<String>> {
    let mut seen = BTreeSet::from([from]);
    let mut ways = vec![vec![from.to_owned()]];
    while let Some(way) = (!ways.is_empty()).then(|| ways.remove(0)) {
        let last = way.last().expect("it has an end");
        if last == to {
            return Some(way);
        }
        let next = uses[last].iter().filter(|next| seen.insert(next));
        ways.extend(next.map(|next| [way.as_slice(), std::slice::from_ref(next)].concat()));
    }
    None
}

/// The paths in a source, those of `use` trees written out.
fn paths(text: &str) -> Vec<Vec<&str>> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let mut paths = Vec::new();
    let mut groups: Vec<Vec<&str>> = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    let mut goes_on = false;
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    for token in lines.flat_map(tokens) {
        let is_name = token.starts_with(|first: char| first.is_alphanumeric() || first == '_');
        match token {
            "::" => goes_on = true,
            _ if is_name && goes_on => {
                path.push(token);
                goes_on = false;
            }
            _ => {
                let group = if goes_on { path.clone() } else { Vec::new() };
                paths.push(std::mem::take(&mut path));
                match token {
                    "{" => groups.push(group),
                    "}" => drop(groups.pop()),
                    _ => {}
                }
                path = groups.last().cloned().unwrap_or_default();
                if is_name {
                    path.push(token);
                }
                goes_on = false;
            }
        }
    }
    paths.push(path);
    paths
}

/// Names, `::`, and single other characters.
fn tokens(line: &str) -> Vec<&str> {
    let is_name = |it: char| it.is_alphanumeric() || it == '_';
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = if is_name(first) {
            rest.find(|it| !is_name(it)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        let path = |path| format!("xtask/src/{path}");
        let files: Vec<_> = files.iter().map(|(it, text)| (path(it), *text)).collect();
        let files: Vec<_> = files
            .iter()
            .map(|(it, text)| (it.as_str(), *text))
            .collect();
        let findings = circles(&Tree::of(&files));
        findings.into_iter().map(|it| it.problem).collect()
    }

    #[test]
    fn a_circle_is_found_however_its_arrows_are_written() {
        for back in [
            "use super::Thing;\nuse super::super::a::X;",
            "use crate::{a::{self, c::X}};",
            "fn f() { crate::a::thing() }",
            "fn f() -> super::super::a::Thing {}",
        ] {
            let files = [
                ("main.rs", "mod a;\nmod b;"),
                ("a.rs", "use crate::b::c::f;"),
                ("b.rs", "pub mod c;"),
                ("b/c.rs", back),
            ];
            let expected = ["a uses b::c, which uses a"];
            assert_eq!(problems(&files), expected, "{back}");
        }
        let long = [
            ("a.rs", "use crate::b;"),
            ("b.rs", "use crate::c::X;"),
            ("c.rs", "use crate::a::f;"),
        ];
        assert_eq!(problems(&long), ["a uses b, which uses c, which uses a"]);
    }

    #[test]
    fn what_a_module_stands_in_is_no_way_back() {
        let files = [
            ("lib.rs", "mod a;\npub use a::X;"),
            ("a.rs", "mod b;\nuse b::Y;"),
            ("a/b.rs", "use super::Z;\nuse crate::X;"),
        ];
        assert_eq!(problems(&files), [""; 0]);
    }

    #[test]
    fn one_direction_is_fine() {
        let files = [
            ("main.rs", "mod a;\nmod b;\nfn main() { a::run() }"),
            (
                "a.rs",
                "use crate::b::{self, c::{D, E}};\n// See super::main.\nuse std::a;",
            ),
            (
                "b.rs",
                "use std::fmt;\n#[cfg(test)]\nmod tests {\n    use crate::a;\n}",
            ),
            ("b/c.rs", "use super::d::F;"),
            ("b/d.rs", ""),
        ];
        assert_eq!(problems(&files), [""; 0]);
    }
}
