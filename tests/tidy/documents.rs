//! What documents name exists: files, and items of the code; and doc comments say something.
//!
//! **Invariant.** A name is looked up in the code as it is now, so a page that falls behind a rename
//! fails here.

use crate::workspace::{Module, files, modules, root};
use std::collections::BTreeSet;
use std::path::PathBuf;
use syn::visit::Visit;

/// Documents for people: pages, and the heads of Rust files.
fn pages() -> Vec<(PathBuf, String)> {
    let markdown = files().into_iter().filter(|f| f.extension().is_some_and(|e| e == "md"));
    let mut pages: Vec<_> = markdown.map(|f| (f.clone(), std::fs::read_to_string(&f).unwrap())).collect();
    for module in modules() {
        let comments = module.text.lines().map(str::trim_start).filter(|l| l.starts_with("//"));
        let text = comments.collect::<Vec<_>>().join("\n");
        pages.push((module.file, text));
    }
    // What changed once names files that are gone.
    pages.retain(|(file, _)| !file.ends_with("CHANGELOG.md"));
    pages
}

/// What stands between back quotes, outside blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.lines()).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Whether a quoted text is the path of a file or folder of the project.
fn is_path(text: &str) -> bool {
    const ENDINGS: [&str; 9] = [".rs", ".md", ".toml", ".wafer", ".txt", ".svg", ".html", ".py", ".csv"];
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let first = text.split('/').next().unwrap_or_default();
    plain
        && text.contains('/')
        && !first.is_empty()
        && (ENDINGS.iter().any(|e| text.ends_with(e)) || root().join(first).is_dir())
}

#[test]
fn files_that_documents_name_exist() {
    let files: Vec<String> =
        files().iter().map(|f| f.strip_prefix(root()).unwrap().to_string_lossy().into_owned()).collect();
    let known = |named: &str| {
        let named = named.trim_end_matches('/');
        let ends = |file: &String| file.strip_suffix(named).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
        files.iter().any(|f| ends(f) || f.starts_with(&format!("{named}/")) || f.contains(&format!("/{named}/")))
    };
    let mut faults = Vec::new();
    for (page, text) in pages() {
        for named in quoted(&text).into_iter().filter(|q| is_path(q) && !q.starts_with("target/")) {
            if !known(named) {
                faults.push(format!("{}: there is no `{named}`", page.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Pairs of names `outer::inner` that exist: a module and its item, a type and its method, field or
/// variant.
#[derive(Default)]
struct Known {
    pairs: BTreeSet<(String, String)>,
    /// Words in tables that macros make items of: each may be the name of one.
    made: BTreeSet<String>,
    inside: Vec<String>,
}

impl Known {
    fn add(&mut self, inner: &syn::Ident) {
        let inner = inner.to_string();
        if let Some(outer) = self.inside.last() {
            self.pairs.insert((outer.clone(), inner));
        }
    }

    fn within(&mut self, outer: &str, visit: impl FnOnce(&mut Known)) {
        self.inside.push(outer.to_owned());
        visit(self);
        self.inside.pop();
    }
}

impl<'a> Visit<'a> for Known {
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.add(&item.sig.ident);
    }
    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        self.add(&item.ident);
    }
    fn visit_item_type(&mut self, item: &'a syn::ItemType) {
        self.add(&item.ident);
    }
    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.add(&item.sig.ident);
    }
    fn visit_impl_item_const(&mut self, item: &'a syn::ImplItemConst) {
        self.add(&item.ident);
    }
    fn visit_trait_item_fn(&mut self, item: &'a syn::TraitItemFn) {
        self.add(&item.sig.ident);
    }
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        self.add(&item.ident);
        self.within(&item.ident.to_string(), |k| syn::visit::visit_item_mod(k, item));
    }
    fn visit_item_struct(&mut self, item: &'a syn::ItemStruct) {
        self.add(&item.ident);
        let fields: Vec<syn::Ident> = item.fields.iter().filter_map(|f| f.ident.clone()).collect();
        self.within(&item.ident.to_string(), |k| fields.iter().for_each(|f| k.add(f)));
    }
    fn visit_item_enum(&mut self, item: &'a syn::ItemEnum) {
        self.add(&item.ident);
        self.within(&item.ident.to_string(), |k| item.variants.iter().for_each(|v| k.add(&v.ident)));
    }
    fn visit_item_trait(&mut self, item: &'a syn::ItemTrait) {
        self.add(&item.ident);
        self.within(&item.ident.to_string(), |k| syn::visit::visit_item_trait(k, item));
    }
    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        if let syn::Type::Path(of) = &*item.self_ty
            && let Some(last) = of.path.segments.last()
        {
            self.within(&last.ident.to_string(), |k| syn::visit::visit_item_impl(k, item));
        }
    }
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if !matches!(item.vis, syn::Visibility::Inherited) {
            names(&item.tree, &mut |name| self.add(name));
        }
    }
    fn visit_item_macro(&mut self, item: &'a syn::ItemMacro) {
        let tokens = item.mac.tokens.to_string();
        let words = tokens.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
        self.made.extend(words.map(str::to_owned));
    }
}

/// The names that a `use` brings in.
fn names(tree: &syn::UseTree, each: &mut dyn FnMut(&syn::Ident)) {
    match tree {
        syn::UseTree::Path(path) => names(&path.tree, each),
        syn::UseTree::Name(name) => each(&name.ident),
        syn::UseTree::Rename(name) => each(&name.rename),
        syn::UseTree::Glob(_) => {}
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| names(tree, each)),
    }
}

fn known(modules: &[Module]) -> Known {
    let mut known = Known::default();
    for module in modules {
        let own = module.path.last().unwrap_or(&module.krate);
        if let [.., parent, child] = &[std::slice::from_ref(&module.krate), &module.path[..]].concat()[..] {
            known.pairs.insert((parent.clone(), child.clone()));
        }
        known.within(own, |k| k.visit_file(&module.syntax));
    }
    known
}

/// The parts of a quoted text that is a path of the project's code, such as `fabric::run`.
fn code_path<'a>(text: &'a str, crates: &BTreeSet<String>) -> Option<Vec<&'a str>> {
    let parts: Vec<&str> = text.trim_end_matches("()").split("::").collect();
    let word = |p: &&str| !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let foreign = ["std", "core", "rayon", "serde", "clap", "blake3", "syn", "ndarray", "petgraph", "cargo"];
    let own = |first: &str| crates.contains(first) || !foreign.contains(&first);
    (parts.len() > 1 && parts.iter().all(word) && own(parts[0])).then_some(parts)
}

#[test]
fn code_that_documents_name_exists() {
    let modules = modules();
    let crates: BTreeSet<String> = modules.iter().map(|m| m.krate.clone()).collect();
    let known = known(&modules);
    let mut faults = Vec::new();
    for (page, text) in pages() {
        for parts in quoted(&text).into_iter().filter_map(|q| code_path(q, &crates)) {
            let missing = parts.windows(2).find(|pair| {
                let relative = ["crate", "super", "self", "Self"].contains(&pair[0]);
                let pair = (pair[0].to_owned(), pair[1].to_owned());
                !relative && !known.pairs.contains(&pair) && !known.made.contains(&pair.1)
            });
            if let Some(pair) = missing {
                let page = page.strip_prefix(root()).unwrap().display();
                faults.push(format!("{page}: `{}`: there is no `{}` in `{}`", parts.join("::"), pair[1], pair[0]));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Doc comments of items, with the names of the items.
struct Documented(Vec<(String, String)>);

impl Documented {
    fn add(&mut self, name: &dyn std::fmt::Display, attributes: &[syn::Attribute]) {
        let lines = attributes.iter().filter_map(|a| match &a.meta {
            syn::Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
                syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        });
        let text = lines.collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            self.0.push((name.to_string(), text));
        }
    }
}

impl<'a> Visit<'a> for Documented {
    fn visit_item_fn(&mut self, i: &'a syn::ItemFn) {
        self.add(&i.sig.ident, &i.attrs);
    }
    fn visit_impl_item_fn(&mut self, i: &'a syn::ImplItemFn) {
        self.add(&i.sig.ident, &i.attrs);
    }
    fn visit_item_struct(&mut self, i: &'a syn::ItemStruct) {
        self.add(&i.ident, &i.attrs);
        syn::visit::visit_item_struct(self, i);
    }
    fn visit_item_enum(&mut self, i: &'a syn::ItemEnum) {
        self.add(&i.ident, &i.attrs);
        syn::visit::visit_item_enum(self, i);
    }
    fn visit_item_const(&mut self, i: &'a syn::ItemConst) {
        self.add(&i.ident, &i.attrs);
    }
    fn visit_item_trait(&mut self, i: &'a syn::ItemTrait) {
        self.add(&i.ident, &i.attrs);
        syn::visit::visit_item_trait(self, i);
    }
    fn visit_trait_item_fn(&mut self, i: &'a syn::TraitItemFn) {
        self.add(&i.sig.ident, &i.attrs);
    }
    fn visit_field(&mut self, i: &'a syn::Field) {
        if let Some(name) = &i.ident {
            self.add(name, &i.attrs);
        }
    }
    fn visit_variant(&mut self, i: &'a syn::Variant) {
        self.add(&i.ident, &i.attrs);
        syn::visit::visit_variant(self, i);
    }
}

/// Why a doc comment says nothing to somebody who comes from outside.
fn stub(text: &str) -> Option<&'static str> {
    const POINTERS: [&str; 9] =
        ["They", "Them", "These", "Those", "The same", "Both", "Likewise", "All of them", "Others"];
    let first = text.split(['.', ';', ':']).next().unwrap_or_default().trim();
    let points = |p: &str| first == p || first.strip_prefix(p).is_some_and(|rest| rest.starts_with([' ', ',']));
    match () {
        () if text.split_whitespace().count() < 2 => Some("one word says no more than the name"),
        () if POINTERS.iter().any(|p| points(p)) => Some("it begins by pointing at something that is not there"),
        () if ["This.", "Its name.", "It."].contains(&text) => Some("it only points"),
        () => None,
    }
}

#[test]
fn doc_comments_are_no_stubs() {
    let mut faults = Vec::new();
    for module in modules() {
        let mut documented = Documented(Vec::new());
        documented.visit_file(&module.syntax);
        for (name, text) in documented.0 {
            if let Some(why) = stub(&text) {
                faults.push(format!("{}: `{name}`: \"{text}\": {why}", module.place()));
            }
        }
    }
    assert!(faults.is_empty(), "{} doc comments are stubs:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn stubs_are_found() {
    for bad in ["They.", "Elements.", "The same of all columns.", "Both, in order.", "Its name."] {
        assert!(stub(bad).is_some(), "{bad}");
    }
    for good in ["Tokens per PE.", "The sum of both.", "Rows that a sequence takes."] {
        assert!(stub(good).is_none(), "{good}");
    }
}
