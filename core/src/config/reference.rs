//! Reference page and main file with every option at its default, generated from the declarations of the sections.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use retainit_plugin::{Field, Section, Value};

use super::env::{PREFIX, spelled};
use super::sections::{EventsSection, FunctionSection, Main};
use crate::Registry;

/// Example id of a function.
const FUNCTION: &str = "shop::user";

/// Name of the backend that is the default where no source names one.
const DEFAULT_BACKEND: &str = "default";

/// One section and its spelling.
struct PageRow {
    /// Path between `[retainit` and `]`.
    path: String,
    /// Purpose of the section.
    about: String,
    /// Type, of a backend's section.
    type_name: Option<String>,
    /// Prefix of its variables; functions have none.
    variables: Option<String>,
    fields: &'static [Field],
    /// Name of the section whose options this one repeats.
    repeats: Option<String>,
    /// True if the section has an effect by its presence alone, with all its options at their defaults.
    is_example: bool,
    /// Options without a default whose example contradicts the defaults of others, with the problem.
    misfits: BTreeMap<&'static str, String>,
}

impl Registry {
    /// Writes every option of every section and linked plugin in Markdown: name, other names, what it takes, default,
    /// variable, what it does.
    pub fn reference(&self) -> String {
        let mut page = String::new();
        for part in parts(self) {
            part.describe(&mut page).expect("a text takes every line");
        }
        page
    }

    /// Writes a main file with every option of every section and linked plugin, commented out, with its default.
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

fn parts(registry: &Registry) -> Vec<PageRow> {
    let function_fields = FunctionSection::default().fields();
    let of_functions = |path: &str, about: &str| PageRow {
        path: format!(".{path}.\"{FUNCTION}\""),
        about: format!("{about} The name in quotes is the function's id."),
        type_name: None,
        variables: None,
        fields: function_fields,
        repeats: None,
        is_example: false,
        misfits: BTreeMap::new(),
    };
    let variables = |section: &str| format!("{PREFIX}{}_", spelled(section));
    let main = || Some(Box::<Main>::default() as Box<dyn Section>);
    let mut parts = vec![PageRow::named("", "What holds for a whole instance.", PREFIX.to_owned(), main)];
    parts.extend(registry.names("backend").iter().map(|name| {
        let mut about = format!(
            "A backend of the type `{name}`. Its name is free, and there may be several of one type; where all is \
             default, the type serves as a name without any section."
        );
        // The name `default` makes a backend the default; with a section for each type only one can have it.
        let is_default = registry.unconfigured_backend() == Some(name);
        let called = if is_default { DEFAULT_BACKEND } else { name };
        if is_default {
            about.push_str(" Functions and caches that name no backend use the one called `default`.");
        }
        let variables = format!("{PREFIX}BACKENDS_<NAME>_");
        let part = PageRow::named(&format!(".backends.{called}"), &about, variables, || Some(registry.backend(name)?));
        PageRow { type_name: Some(name.clone()), ..part }
    }));
    let functions = of_functions("functions", "Options of one function; its attribute takes precedence.");
    let repeats = Some(format!("[retainit{}]", functions.path));
    parts.push(functions);
    let overrides = of_functions("override.functions", "The same options, which take precedence over the attribute.");
    parts.push(PageRow { repeats, ..overrides });
    let events = || Some(Box::<EventsSection>::default() as Box<dyn Section>);
    parts.push(PageRow::named(".events", "How events reach subscribers.", variables("events"), events));
    parts.extend(registry.names("subscriber").iter().map(|name| {
        let about = format!("The subscriber `{name}`. It is off until one of its options is set.");
        let section = || Some(registry.subscriber(name)? as Box<dyn Section>);
        PageRow { is_example: true, ..PageRow::named(&format!(".{name}"), &about, variables(name), section) }
    }));
    parts
}

impl PageRow {
    fn named(path: &str, about: &str, variables: String, section: impl Fn() -> Option<Box<dyn Section>>) -> PageRow {
        let mut part = PageRow {
            path: path.to_owned(),
            about: about.to_owned(),
            type_name: None,
            variables: Some(variables),
            fields: section().map_or(&[][..], |section| section.fields()),
            repeats: None,
            is_example: false,
            misfits: BTreeMap::new(),
        };
        let misfit = |field: &&Field| Some((field.name, part.misfit(field, section()?)?));
        part.misfits =
            part.fields.iter().filter(|field| field.default.is_none()).filter_map(|it| misfit(&it)).collect();
        part
    }

    /// Returns the problem that the example of a field has in a section of defaults.
    fn misfit(&self, field: &Field, mut section: Box<dyn Section>) -> Option<String> {
        let defaults = self.fields.iter().filter_map(|other| Some((other.name, other.default?)));
        for (name, literal) in defaults.chain([(field.name, field.example?)]) {
            if let Err(problem) = section.set(name, &literal.value()) {
                return Some(problem);
            }
        }
        section.problems().into_iter().find(|problem| problem.field == field.name).map(|problem| problem.text)
    }

    /// Writes the section of the reference page.
    fn describe(&self, page: &mut String) -> fmt::Result {
        writeln!(page, "### `[retainit{}]`\n\n{}\n", self.path, wrapped("", &self.about))?;
        if let Some(other) = &self.repeats {
            return writeln!(page, "Its options are those of `{other}`.\n");
        }
        for field in self.fields {
            writeln!(page, "#### `{}`\n\n{}\n", field.name, docs(field).join("\n").trim())?;
            writeln!(page, "- takes: {}", field.expected)?;
            match field.default {
                None => writeln!(page, "- default: none; an example: `{}`", example(field))?,
                Some(default) => writeln!(page, "- default: `{}`", default.written())?,
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

    /// Writes the section of a main file.
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
            // The other section has the docs already.
            if self.repeats.is_none() {
                let lines = docs(field);
                lines.iter().try_for_each(|line| writeln!(file, "{}", format!("# {line}").trim_end()))?;
                writeln!(file, "{}", wrapped("# ", &format!("Takes {}.", field.expected)))?;
                if !field.aliases.is_empty() {
                    writeln!(file, "# Also called {}.", field.aliases.join(", "))?;
                }
            }
            match field.default {
                None => match self.misfits.get(field.name) {
                    None => writeln!(file, "#   {} = {}", field.name, example(field))?,
                    Some(why) => {
                        let text = format!("For example {} = {}: {why}.", field.name, example(field));
                        writeln!(file, "{}", wrapped("# ", &text))?;
                    }
                },
                Some(default) => writeln!(file, "{mark}{} = {}", field.name, default.written())?,
            }
        }
        Ok(())
    }
}

/// Returns an example of a field's value, as TOML.
fn example(field: &Field) -> &'static str {
    field.example.map_or("", |example| example.written())
}

/// Returns the lines of a field's documentation, without the blank in front and the empty ones around.
fn docs(field: &Field) -> Vec<&'static str> {
    field.docs.trim().lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect()
}

/// Breaks a text into lines of at most 120 characters, each behind `prefix`.
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
