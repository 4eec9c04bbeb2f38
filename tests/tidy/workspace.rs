//! The files of the workspace, read once: manifests, Rust sources with their syntax, documents.
//!
//! **Not here.** What they have to be like (the other files of this test).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use syn::visit::Visit;

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn manifest(folder: &Path) -> toml::Table {
    std::fs::read_to_string(folder.join("Cargo.toml")).unwrap().parse().unwrap()
}

fn name(manifest: &toml::Table) -> String {
    manifest["package"]["name"].as_str().unwrap().to_owned()
}

/// Folder of every crate, the root's among them.
fn folders() -> Vec<PathBuf> {
    let workspace = manifest(&root());
    let members = workspace["workspace"]["members"].as_array().unwrap().clone();
    members.iter().map(|m| root().join(m.as_str().unwrap())).chain([root()]).collect()
}

/// Manifests by the names of crates.
pub(crate) fn crates() -> BTreeMap<String, toml::Table> {
    folders().iter().map(|f| manifest(f)).map(|m| (name(&m), m)).collect()
}

/// All files below the root that are kept, in the order of their paths.
pub(crate) fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let hidden = name.starts_with('.') && name != ".ci";
            if path.is_dir() && !hidden && !name.starts_with("target") {
                folders.push(path);
            } else if path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// All Rust files of the workspace, tests among them, with their texts.
pub(crate) fn sources() -> Vec<(PathBuf, String)> {
    let rust = files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let sources: Vec<_> = rust.map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap())).collect();
    assert!(sources.len() > 50, "the sources are found");
    sources
}

/// A file of a crate's library or program, without its tests.
pub(crate) struct Module {
    /// Name of the crate as code writes it, such as `sim_core`.
    pub(crate) krate: String,
    /// Names of the modules from the crate's root to this file; none for `lib.rs` and `main.rs`.
    pub(crate) path: Vec<String>,
    /// The file.
    pub(crate) file: PathBuf,
    /// Its items; those under `#[cfg(test)]` are left out.
    pub(crate) syntax: syn::File,
    /// Its text.
    pub(crate) text: String,
}

impl Module {
    /// Its file, from the workspace's root.
    pub(crate) fn place(&self) -> String {
        self.file.strip_prefix(root()).unwrap().display().to_string()
    }
}

/// All files of `src/` folders.
pub(crate) fn modules() -> Vec<Module> {
    let mut modules = Vec::new();
    for folder in folders() {
        let krate = name(&manifest(&folder)).replace('-', "_");
        let source = folder.join("src");
        for (file, text) in sources().into_iter().filter(|(file, _)| file.starts_with(&source)) {
            let mut path: Vec<String> = file
                .strip_prefix(&source)
                .unwrap()
                .with_extension("")
                .iter()
                .map(|p| p.to_string_lossy().into_owned())
                .collect();
            if matches!(path.last().map(String::as_str), Some("mod" | "lib" | "main")) {
                path.pop();
            }
            let mut syntax = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            syntax.items.retain(|item| !only_tests(attributes(item)));
            modules.push(Module { krate: krate.clone(), path, file, syntax, text });
        }
    }
    let tests = declared_for_tests(&modules);
    modules.retain(|m| !tests.iter().any(|t| m.krate == t.0 && m.path.starts_with(&t.1)));
    assert!(modules.len() > 100, "modules are found");
    modules
}

/// Modules that only exist in tests: crate, and path.
fn declared_for_tests(modules: &[Module]) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for module in modules {
        let whole = syn::parse_file(&module.text).unwrap();
        for item in &whole.items {
            if let syn::Item::Mod(m) = item
                && m.content.is_none()
                && only_tests(&m.attrs)
            {
                found.push((module.krate.clone(), [module.path.clone(), vec![m.ident.to_string()]].concat()));
            }
        }
    }
    found
}

/// Whether an item is compiled for tests only.
fn only_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| {
        a.path().is_ident("cfg") && matches!(&a.meta, syn::Meta::List(list) if list.tokens.to_string().contains("test"))
    })
}

/// The attributes of an item.
fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(i) => &i.attrs,
        syn::Item::Enum(i) => &i.attrs,
        syn::Item::Fn(i) => &i.attrs,
        syn::Item::Impl(i) => &i.attrs,
        syn::Item::Macro(i) => &i.attrs,
        syn::Item::Mod(i) => &i.attrs,
        syn::Item::Static(i) => &i.attrs,
        syn::Item::Struct(i) => &i.attrs,
        syn::Item::Trait(i) => &i.attrs,
        syn::Item::Type(i) => &i.attrs,
        syn::Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

/// A macro that is called: its name, and what it is given, as text.
pub(crate) struct Called {
    pub(crate) name: String,
    pub(crate) tokens: String,
}

/// All macros that a file calls outside its tests, those within the arguments of other macros too.
pub(crate) fn macros(syntax: &syn::File) -> Vec<Called> {
    struct Visitor(Vec<Called>);
    impl<'a> Visit<'a> for Visitor {
        fn visit_macro(&mut self, called: &'a syn::Macro) {
            let name = called.path.segments.last().map(|s| s.ident.to_string()).unwrap_or_default();
            self.0.push(Called { name, tokens: called.tokens.to_string() });
            nested(called.tokens.clone(), &mut self.0);
            syn::visit::visit_macro(self, called);
        }
    }
    let mut visitor = Visitor(Vec::new());
    visitor.visit_file(syntax);
    visitor.0
}

/// Macros in the tokens of another one: `name ! ( … )`.
fn nested(tokens: proc_macro2::TokenStream, found: &mut Vec<Called>) {
    use proc_macro2::TokenTree;
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (i, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        if let [.., TokenTree::Ident(name), TokenTree::Punct(mark)] = &tokens[..i]
            && mark.as_char() == '!'
        {
            found.push(Called { name: name.to_string(), tokens: group.stream().to_string() });
        }
        nested(group.stream(), found);
    }
}
