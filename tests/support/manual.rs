//! The pages under `docs/`, read as tables and examples, so that tests can hold the program against them.

use std::path::Path;

/// A page.
#[derive(Debug)]
pub(crate) struct Page(String);

impl Page {
    /// The page of that name.
    pub(crate) fn open(name: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("docs")
            .join(name);
        Self(std::fs::read_to_string(file).expect("the page is there"))
    }

    /// Whether this stands in it somewhere.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.0.contains(text)
    }

    /// What stands under a heading, up to the next heading of any level.
    fn under(&self, heading: &str) -> impl Iterator<Item = &str> {
        let found = self
            .0
            .lines()
            .skip_while(move |line| line.trim_start_matches('#').trim() != heading);
        let mut in_code = false;
        found.skip(1).take_while(move |line| {
            in_code ^= line.starts_with("```");
            in_code || !line.starts_with('#')
        })
    }

    /// The cells of the tables under a heading, without their titles.
    pub(crate) fn rows(&self, heading: &str) -> Vec<Vec<String>> {
        let mut rows: Vec<Vec<String>> = Vec::new();
        for line in self.under(heading).filter(|line| line.starts_with('|')) {
            if line.starts_with("|---") {
                rows.pop();
                continue;
            }
            rows.push(
                line.trim_matches('|')
                    .split('|')
                    .map(|cell| cell.trim().to_owned())
                    .collect(),
            );
        }
        assert!(!rows.is_empty(), "no table under `{heading}`");
        rows
    }

    /// The YAML examples under a heading.
    pub(crate) fn yaml(&self, heading: &str) -> Vec<String> {
        yaml_in(self.under(heading))
    }

    /// The commands under a heading, a block each.
    pub(crate) fn bash(&self, heading: &str) -> Vec<String> {
        blocks_in("```bash", self.under(heading))
    }

    /// All commands of the page, a block each.
    pub(crate) fn all_bash(&self) -> Vec<String> {
        blocks_in("```bash", self.0.lines())
    }

    /// All YAML examples of the page.
    pub(crate) fn all_yaml(&self) -> Vec<String> {
        yaml_in(self.0.lines())
    }
}

fn yaml_in<'page>(lines: impl Iterator<Item = &'page str>) -> Vec<String> {
    blocks_in("```yaml", lines)
}

fn blocks_in<'page>(fence: &str, lines: impl Iterator<Item = &'page str>) -> Vec<String> {
    let mut examples = Vec::new();
    let mut example: Option<String> = None;
    for line in lines {
        match (&mut example, line) {
            (None, line) if line == fence => example = Some(String::new()),
            (Some(_), "```") => examples.extend(example.take()),
            (Some(text), line) => *text += &format!("{line}\n"),
            (None, _) => {}
        }
    }
    examples
}

/// The words of a cell that stand in backticks.
pub(crate) fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}
