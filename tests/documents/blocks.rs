//! Blocks of code of a document, and what a comment above each says about it.

/// A block between two fences.
#[derive(Debug, PartialEq)]
pub(crate) struct Block {
    /// Line of its first fence.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
    pub(crate) role: Role,
}

/// Use of a block, by the text of the comment on the line above it.
#[derive(Debug, PartialEq)]
pub(crate) enum Role {
    /// `<!-- program -->` or `<!-- program: name -->`: a whole program, with its name as a crate; with `, file: path` it
    /// is run beside that file from above too.
    Program { name: Option<String>, file: Option<String> },
    /// `<!-- tests -->`: functions with `#[test]`.
    Tests,
    /// `<!-- file: path -->` or `<!-- file: path, program: one two -->`: a file in the folders of programs.
    File { path: String, programs: Vec<String> },
    /// `<!-- console, program: name -->` or `<!-- console, program: name, file: path -->`: commands in a folder of the
    /// program, with that file in it, and what they print.
    Console { program: String, file: Option<String> },
    /// `<!-- shown: reason -->`: it is not run.
    Shown(String),
    /// There is no such comment.
    Unknown,
}

/// Returns the blocks of a text.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut above) = (Vec::new(), "");
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let inside = lines.by_ref().take_while(|(_, line)| !line.trim_start().starts_with("```"));
            let text = inside.map(|(_, line)| format!("{line}\n")).collect();
            blocks.push(Block { line: number + 1, language: language.to_owned(), text, role: role(above) });
        }
        above = line;
    }
    blocks
}

fn role(above: &str) -> Role {
    let Some(comment) = above.trim().strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) else {
        return Role::Unknown;
    };
    if let Some(reason) = comment.strip_prefix("shown: ") {
        return Role::Shown(reason.to_owned());
    }
    let parts: Vec<(&str, Option<String>)> = comment
        .split(", ")
        .map(|part| part.split_once(": ").map_or((part, None), |(name, value)| (name, Some(value.to_owned()))))
        .collect();
    match parts.as_slice() {
        [("tests", None)] => Role::Tests,
        [("program", name)] => Role::Program { name: name.clone(), file: None },
        [("program", name), ("file", file @ Some(_))] => Role::Program { name: name.clone(), file: file.clone() },
        [("file", Some(path))] => Role::File { path: path.clone(), programs: Vec::new() },
        [("file", Some(path)), ("program", Some(programs))] => {
            Role::File { path: path.clone(), programs: programs.split(' ').map(str::to_owned).collect() }
        }
        [("console", None), ("program", Some(program))] => Role::Console { program: program.clone(), file: None },
        [("console", None), ("program", Some(program)), ("file", file @ Some(_))] => {
            Role::Console { program: program.clone(), file: file.clone() }
        }
        _ => Role::Unknown,
    }
}

#[test]
fn blocks_are_found_with_their_roles() {
    let fence = "```";
    let text = format!(
        "text\n\n<!-- program: demo -->\n{fence}rust\nfn main() {{}}\n{fence}\n<!-- file: a.toml, program: demo -->\n\
         {fence}toml\na = 1\n{fence}\n\n{fence}console\n$ x\n{fence}\n<!-- shown: it is no program -->\n{fence}\nx\n{fence}\n"
    );
    let found: Vec<_> = blocks(&text).into_iter().map(|it| (it.line, it.language, it.text, it.role)).collect();
    let block = |line, language: &str, text: &str, role| (line, language.to_owned(), text.to_owned(), role);
    let expected = [
        block(4, "rust", "fn main() {}\n", Role::Program { name: Some("demo".to_owned()), file: None }),
        block(8, "toml", "a = 1\n", Role::File { path: "a.toml".to_owned(), programs: vec!["demo".to_owned()] }),
        block(12, "console", "$ x\n", Role::Unknown),
        block(16, "", "x\n", Role::Shown("it is no program".to_owned())),
    ];
    assert_eq!(found, expected);
}
