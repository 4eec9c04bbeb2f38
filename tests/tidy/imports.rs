//! No circles of modules: what a module takes from others, as its imports and paths say.
//!
//! A module is a file. A file and the files of its own folder below it are one house with several
//! rooms, so a child may use what its parent has, and the other way round; but files that do not
//! contain each other, and whole folders, must not need each other. What a parent passes on
//! (`pub use child::Item`) counts as taken from the child.
//!
//! **Invariant.** Names are resolved as far as paths can be read from the text: a method of a value
//! does not count, its type does.

use crate::workspace::{Module, modules};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::Visit;

type Path = Vec<String>;

/// Every path that a file names, from the crate's root where it starts there.
#[derive(Default)]
struct Named {
    /// `use` trees, flattened.
    imports: Vec<Path>,
    /// Other paths with two segments or more.
    paths: Vec<Path>,
    /// What it passes on: name, and path.
    passed_on: Vec<(String, Path)>,
}

impl<'a> Visit<'a> for Named {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        let mut flat = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut flat);
        if !matches!(item.vis, syn::Visibility::Inherited) {
            self.passed_on.extend(flat.iter().cloned());
        }
        self.imports.extend(flat.into_iter().map(|(_, path)| path));
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments: Path = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if segments.len() > 1 {
            self.paths.push(segments);
        }
        syn::visit::visit_path(self, path);
    }
}

fn flatten(tree: &syn::UseTree, before: &mut Path, out: &mut Vec<(String, Path)>) {
    match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, out);
            before.pop();
        }
        syn::UseTree::Name(name) => {
            let name = name.ident.to_string();
            let path = if name == "self" { before.clone() } else { [before.clone(), vec![name.clone()]].concat() };
            out.push((path.last().cloned().unwrap_or(name), path));
        }
        syn::UseTree::Rename(name) => {
            let path = [before.clone(), vec![name.ident.to_string()]].concat();
            out.push((name.rename.to_string(), path));
        }
        syn::UseTree::Glob(_) => out.push(("*".to_owned(), before.clone())),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, out)),
    }
}

/// The modules of one crate, and what each passes on.
struct Crate<'a> {
    files: BTreeMap<Path, &'a Module>,
    passed_on: BTreeMap<(Path, String), Path>,
}

impl Crate<'_> {
    /// A path as written in a module, from the crate's root; None if it leads elsewhere.
    fn absolute(&self, from: &Path, written: &Path) -> Option<Path> {
        let (mut base, mut rest) = (from.clone(), written.as_slice());
        match rest.first()?.as_str() {
            "crate" => (base, rest) = (Path::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|s| s == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let child = [from.clone(), vec![first.to_owned()]].concat();
                self.files.contains_key(&child).then_some(())?;
            }
        }
        Some([base, rest.to_vec()].concat())
    }

    /// The file that has what a path from the root names.
    fn home(&self, path: &Path) -> Path {
        let mut path = path.clone();
        // A chain of files that pass an item on is never longer than this.
        for _ in 0..8 {
            let file = (0..=path.len()).rev().map(|n| path[..n].to_vec()).find(|p| self.files.contains_key(p));
            let file = file.unwrap_or_default();
            let passed = path.get(file.len()).and_then(|name| self.passed_on.get(&(file.clone(), name.clone())));
            match passed.and_then(|to| self.absolute(&file, to)).filter(|to| *to != path) {
                Some(to) => path = to,
                None => return file,
            }
        }
        panic!("{path:?} is passed on in a circle");
    }
}

/// Whether one of two modules contains the other.
fn related(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// What every file of a crate takes from which others.
fn arrows(modules: &[&Module]) -> BTreeMap<Path, BTreeSet<Path>> {
    let named: Vec<Named> = modules
        .iter()
        .map(|m| {
            let mut named = Named::default();
            named.visit_file(&m.syntax);
            named
        })
        .collect();
    let mut krate = Crate { files: BTreeMap::new(), passed_on: BTreeMap::new() };
    for (module, named) in modules.iter().zip(&named) {
        krate.files.insert(module.path.clone(), module);
        let on = named.passed_on.iter().map(|(name, to)| ((module.path.clone(), name.clone()), to.clone()));
        krate.passed_on.extend(on);
    }
    let mut arrows: BTreeMap<Path, BTreeSet<Path>> = BTreeMap::new();
    for (module, named) in modules.iter().zip(&named) {
        let taken = named.imports.iter().chain(&named.paths);
        let homes = taken.filter_map(|p| krate.absolute(&module.path, p)).map(|p| krate.home(&p));
        let others = homes.filter(|home| *home != module.path && !related(home, &module.path));
        arrows.entry(module.path.clone()).or_default().extend(others);
    }
    arrows
}

/// Circles among nodes: groups in which every node reaches every other one.
fn circles(arrows: &BTreeMap<Path, BTreeSet<Path>>) -> Vec<Vec<Path>> {
    let reach = |from: &Path| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(node) = next.pop() {
            for to in arrows.get(&node).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    next.push(to.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&Path, BTreeSet<Path>> = arrows.keys().map(|node| (node, reach(node))).collect();
    let mut found: BTreeSet<Vec<Path>> = BTreeSet::new();
    for (node, reach) in &reached {
        if reach.contains(*node) {
            let circle = reach.iter().filter(|other| reached.get(other).is_some_and(|r| r.contains(*node)));
            found.insert(circle.cloned().collect());
        }
    }
    found.into_iter().collect()
}

/// The arrows between folders that lie next to each other: of each arrow between files, the first
/// parts of their paths that differ.
fn between_folders(arrows: &BTreeMap<Path, BTreeSet<Path>>) -> BTreeMap<Path, BTreeSet<Path>> {
    let mut out: BTreeMap<Path, BTreeSet<Path>> = BTreeMap::new();
    for (from, to) in arrows.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to))) {
        let same = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        if from.len() > same && to.len() > same {
            out.entry(from[..=same].to_vec()).or_default().insert(to[..=same].to_vec());
        }
    }
    out
}

#[test]
fn modules_do_not_need_each_other_in_circles() {
    let modules = modules();
    let crates: BTreeSet<&String> = modules.iter().map(|m| &m.krate).collect();
    let mut faults = Vec::new();
    for name in crates {
        let own: Vec<&Module> = modules.iter().filter(|m| m.krate == *name).collect();
        let arrows = arrows(&own);
        let all: BTreeSet<Vec<Path>> = circles(&arrows).into_iter().chain(circles(&between_folders(&arrows))).collect();
        for circle in all {
            let names: Vec<String> = circle.iter().map(|path| path.join("::")).collect();
            let inside = |from: &Path| -> Vec<String> {
                let to = arrows.get(from).into_iter().flatten().filter(|to| circle.iter().any(|c| to.starts_with(c)));
                to.map(|to| format!("  {} -> {}", from.join("::"), to.join("::"))).collect()
            };
            let members = arrows.keys().filter(|from| circle.iter().any(|c| from.starts_with(c)));
            let detail: Vec<String> = members.flat_map(inside).collect();
            faults.push(format!("{name}: {} need each other\n{}", names.join(", "), detail.join("\n")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The check itself: a circle through an item that a parent passes on, and folders that need each
/// other by different files.
#[test]
fn circles_are_found() {
    let module = |path: &str, text: &str| Module {
        krate: "made".to_owned(),
        path: path.split('/').filter(|p| !p.is_empty()).map(str::to_owned).collect(),
        file: path.into(),
        syntax: syn::parse_file(text).unwrap(),
        text: text.to_owned(),
    };
    let made = [
        module("", "pub mod a; pub mod b; mod c;"),
        module("a", "mod inner; pub use inner::Thing; use crate::c::C;"),
        module("a/inner", "use super::super::b::Other; pub struct Thing;"),
        module("b", "use crate::a::Thing; pub struct Other;"),
        module("c", "pub struct C;"),
    ];
    let all: Vec<&Module> = made.iter().collect();
    let path = |text: &str| -> Path { text.split('/').map(str::to_owned).collect() };
    let files = arrows(&all);
    assert_eq!(circles(&files), [vec![path("a/inner"), path("b")]]);
    assert_eq!(circles(&between_folders(&files)), [vec![path("a"), path("b")]]);
    let without: Vec<&Module> = made.iter().filter(|m| m.path != path("b")).collect();
    assert!(circles(&arrows(&without)).is_empty());
}
