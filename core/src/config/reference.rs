//! What may be configured, written down from the declarations of the sections: the reference page, and a main file
//! with every option at its default.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use retainit_plugin::{Field, Section, Value};

use super::env::spelled;
use super::schema::default_value;
use super::sections::{EventsSection, FunctionSection, Main};
use crate::Registry;

/// The id that stands for a function.
const FUNCTION: &str = "shop::user";

/// The name of the backend that is the default without anybody's saying so.
const DEFAULT_BACKEND: &str = "default";

/// One section, and how it is spelled.
struct Part {
    /// What stands between `[retainit` and `]`.
    path: String,
    /// What it is for.
    about: String,
    /// The type, of a backend.
    type_name: Option<String>,
    /// What its variables begin with; functions have none.
    variables: Option<String>,
    fields: &'static [Field],
    /// Whether it changes something by being there, were all of its options at their defaults.
    is_example: bool,
    /// Options without a default whose example does not go with the defaults of the others, and why.
    misfits: BTreeMap<&'static str, String>,
}

impl Registry {
    /// Every option of every section and linked plugin, in Markdown: name, other names, what it takes, default,
    /// variable, what it does.
    pub fn reference(&self) -> String {
        let mut page = String::new();
        for part in parts(self) {
            part.describe(&mut page).expect("a text takes every line");
        }
        page
    }

    /// A main file with every option of every section and linked plugin, commented out, with its default.
    ///
    /// `#key = value` and `#[section]` are options at their defaults; `# text` is prose, and `#   key = value` an example
    /// of an option without a default.
    pub fn main_file(&self) -> String {
        let mut file = String::from(HEAD);
        for part in parts(self) {
            part.write(&mut file).expect("a text takes every line");
        }
        file
    }
}

const HEAD: &str = "\
# Every option of retainit with its default. As it stands, this file changes nothing.
#
# `#key = value` and `#[section]`, with nothing behind the `#`, are options at their defaults: take the `#` away, and
# change the value. What stands three blanks behind the `#` is an example: an option without a default, or a section
# that is off until it is there.
#
# Values from `profiles/<name>.toml`, chosen by RETAINIT_PROFILE, stand above those here, and those of environment
# variables below them. docs/configuration.md has the whole order.
";

fn parts(registry: &Registry) -> Vec<Part> {
    let function_fields = FunctionSection::default().fields();
    let of_functions = |path: &str, about: &str| Part {
        path: format!(".{path}.\"{FUNCTION}\""),
        about: format!("{about} The name in quotes is the function's id."),
        type_name: None,
        variables: None,
        fields: function_fields,
        is_example: false,
        misfits: BTreeMap::new(),
    };
    let mut parts = vec![Part::named("", "What holds for a whole instance.", || Some(Box::<Main>::default()))];
    parts.extend(registry.names("backend").iter().map(|name| {
        let mut about = format!(
            "A backend of the type `{name}`. Its name is free, and there may be several of one type; where all is \
             default, the type serves as a name without any section."
        );
        // With a section for each type there would be no default otherwise.
        let called = if name == "memory" { DEFAULT_BACKEND } else { name };
        if called == DEFAULT_BACKEND {
            about.push_str(" Functions and caches that name no backend use the one called `default`.");
        }
        let part = Part::named(&format!("backends.{called}"), &about, || Some(registry.backend(name)?));
        Part { type_name: Some(name.clone()), ..part }
    }));
    parts.push(of_functions("functions", "Options of one function, below what its attribute says."));
    parts.push(of_functions("override.functions", "The same options, above what the attribute says."));
    parts.push(Part::named("events", "How events are told.", || Some(Box::<EventsSection>::default())));
    parts.extend(registry.names("subscriber").iter().map(|name| {
        let about = format!("The subscriber `{name}`. It is off until one of its options is set.");
        Part { is_example: true, ..Part::named(name, &about, || Some(registry.subscriber(name)?)) }
    }));
    parts
}

impl Part {
    fn named(name: &str, about: &str, section: impl Fn() -> Option<Box<dyn Section>>) -> Part {
        let variables = match name.split_once('.') {
            None if name.is_empty() => "RETAINIT_".to_owned(),
            None => format!("RETAINIT_{}_", spelled(name)),
            Some(_) => "RETAINIT_BACKENDS_<NAME>_".to_owned(),
        };
        let mut part = Part {
            path: if name.is_empty() { String::new() } else { format!(".{name}") },
            about: about.to_owned(),
            type_name: None,
            variables: Some(variables),
            fields: section().map_or(&[][..], |section| section.fields()),
            is_example: false,
            misfits: BTreeMap::new(),
        };
        let misfit = |field: &&Field| Some((field.name, part.misfit(field, section()?)?));
        part.misfits =
            part.fields.iter().filter(|field| field.default.is_empty()).filter_map(|it| misfit(&it)).collect();
        part
    }

    /// What a section with all defaults finds wrong with the example of a field.
    fn misfit(&self, field: &Field, mut section: Box<dyn Section>) -> Option<String> {
        let said = self.fields.iter().filter(|other| !other.default.is_empty()).map(|it| (it.name, default_value(it)));
        let example = self.example(field);
        let example = serde_json::from_str(&example.replace('_', "")).unwrap_or(Value::String(example));
        for (name, value) in said.chain([(field.name, example)]) {
            if let Err(problem) = section.set(name, &value) {
                return Some(problem);
            }
        }
        section.problems().into_iter().find(|problem| problem.field == field.name).map(|problem| problem.text)
    }

    /// The section of the reference page.
    fn describe(&self, page: &mut String) -> fmt::Result {
        writeln!(page, "### `[retainit{}]`\n\n{}\n", self.path, wrapped("", &self.about))?;
        if self.path.starts_with(".override") {
            return writeln!(page, "Its options are those of `[retainit.functions.\"{FUNCTION}\"]`.\n");
        }
        for field in self.fields {
            writeln!(page, "#### `{}`\n\n{}\n", field.name, docs(field).join("\n").trim())?;
            writeln!(page, "- takes: {}", field.expected)?;
            match field.default {
                "" => writeln!(page, "- default: none; an example: `{}`", self.example(field))?,
                default => writeln!(page, "- default: `{default}`")?,
            }
            if !field.aliases.is_empty() {
                writeln!(page, "- also called: `{}`", field.aliases.join("`, `"))?;
            }
            if field.secret {
                writeln!(page, "- secret: never shown; better written as `\"env:NAME\"` or `\"file:/path\"`")?;
            }
            if let Some(variables) = &self.variables {
                writeln!(page, "- variable: `{variables}{}`", spelled(field.name))?;
            }
            page.push('\n');
        }
        Ok(())
    }

    /// The section of a main file.
    fn write(&self, file: &mut String) -> fmt::Result {
        let mark = if self.is_example { "#   " } else { "#" };
        writeln!(file)?;
        if self.path.is_empty() {
            writeln!(file, "[retainit]")?;
        } else {
            writeln!(file, "{}\n{mark}[retainit{}]", wrapped("# ", &self.about), self.path)?;
        }
        if let Some(type_name) = &self.type_name {
            writeln!(file, "{mark}type = {}", Value::from(type_name.as_str()))?;
        }
        for field in self.fields {
            writeln!(file)?;
            // What the section for functions has said need not be said twice.
            if !self.path.starts_with(".override") {
                let lines = docs(field);
                lines.iter().try_for_each(|line| writeln!(file, "{}", format!("# {line}").trim_end()))?;
                writeln!(file, "{}", wrapped("# ", &format!("Takes {}.", field.expected)))?;
                if !field.aliases.is_empty() {
                    writeln!(file, "# Also called {}.", field.aliases.join(", "))?;
                }
            }
            match field.default {
                "" => match self.misfits.get(field.name) {
                    None => writeln!(file, "#   {} = {}", field.name, self.example(field))?,
                    Some(why) => {
                        let text = format!("For example {} = {}: {why}.", field.name, self.example(field));
                        writeln!(file, "{}", wrapped("# ", &text))?;
                    }
                },
                default => writeln!(file, "{mark}{} = {}", field.name, literal(field, default))?,
            }
        }
        Ok(())
    }

    /// A value for a field without a default.
    fn example(&self, field: &Field) -> String {
        if let Some((_, example)) = field.expected.split_once("such as ") {
            return example.split([' ', ',']).next().unwrap_or_default().to_owned();
        }
        let text = match field.name {
            _ if field.secret => "env:NAME".to_owned(),
            "backend" | "default_backend" => DEFAULT_BACKEND.to_owned(),
            _ if field.expected.contains("path") => format!("retainit-{}.jsonl", self.path.trim_start_matches('.')),
            name => name.to_owned(),
        };
        Value::from(text).to_string()
    }
}

/// A default as TOML: numbers keep their underscores.
fn literal(field: &Field, default: &str) -> String {
    match default_value(field) {
        // JSON's texts are TOML's.
        text @ Value::String(_) => text.to_string(),
        _ => default.to_owned(),
    }
}

/// The lines of a field's documentation, without the blank in front and the empty ones around.
fn docs(field: &Field) -> Vec<&'static str> {
    field.docs.trim().lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect()
}

/// Lines that fit, each behind `prefix`.
fn wrapped(prefix: &str, text: &str) -> String {
    const WIDTH: usize = 120;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{prefix}{word}")),
        }
    }
    lines.join("\n")
}
