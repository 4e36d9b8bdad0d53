//! A sweep as a page that stands alone: the chart, a table of every setting, and
//! what to use. Pure text.

use std::fmt::Write;

use super::Series;
use super::chart::{self, Line};
use crate::picture::html::{begin, end};
use crate::picture::svg::safe;
use crate::size::human;

/// What is said around the numbers.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// From where to where.
    pub title: String,
    /// How it was measured, in a line under the title of the chart.
    pub subtitle: String,
    /// What was and was not part of the measurement, a sentence each.
    pub conditions: Vec<String>,
    /// What to use, if anything could be run.
    pub recommended: Option<Recommended>,
}

/// The setting that is recommended.
#[derive(Clone, Debug)]
pub struct Recommended {
    /// Where it stands in the list of settings.
    pub at: usize,
    /// Why.
    pub reason: String,
    /// The command.
    pub command: String,
}

/// All of a sweep that copied `bytes` in each run.
pub fn html(all: &[Series], bytes: u64, around: &Around) -> String {
    let lines: Vec<Line> = chart::lines(all, bytes);
    let mut out = begin(&around.title, &format!("Bench: {}", around.title));
    if let Some(Recommended { reason, command, .. }) = &around.recommended {
        let _ = writeln!(
            out,
            "<p>Recommended ({}), bold in the table:</p>\n<pre>{}</pre>",
            safe(reason),
            safe(command)
        );
    }
    let picture = chart::svg(&lines, &around.title, &around.subtitle);
    let _ =
        writeln!(out, "<figure style=\"margin:0\"><div class=\"scroll\">{picture}</div></figure>");
    for sentence in &around.conditions {
        let _ = writeln!(out, "<p class=\"about\">{}.</p>", safe(sentence));
    }
    let recommended = around.recommended.as_ref().map(|one| one.at);
    table(&mut out, all, bytes, recommended);
    end(&mut out);
    out
}

fn table(out: &mut String, all: &[Series], bytes: u64, recommended: Option<usize>) {
    *out += "<div class=\"scroll\"><table>\n<tr><th>engine</th><th class=\"num\">request</th>\
             <th class=\"num\">threads</th><th class=\"num\">median</th>\
             <th class=\"num\">slowest to fastest</th>\
             <th class=\"num\">processor</th><th class=\"num\">memory</th></tr>\n";
    for (at, series) in all.iter().enumerate() {
        let setting = &series.setting;
        let io_size = setting.io_size.map_or_else(|| "auto".to_owned(), human);
        let class = if recommended == Some(at) { " class=\"best\"" } else { "" };
        let _ = write!(
            out,
            "<tr{class}><td class=\"word\">{}</td><td class=\"num\">{io_size}</td><td class=\"num\">{}</td>",
            safe(&setting.engine),
            setting.threads
        );
        let (Some(seconds), Some(cpu)) = (series.seconds(), series.cpu_seconds()) else {
            let reason = series.unusable.as_deref().unwrap_or("not run");
            let _ = writeln!(out, "<td colspan=\"4\">{}</td></tr>", safe(reason));
            continue;
        };
        let rate = seconds.per(bytes as f64);
        let mib = |rate: f64| rate / f64::from(1 << 20);
        let _ = write!(
            out,
            "<td class=\"num\">{}/s</td><td class=\"num\">{:.0}–{:.0} MiB/s</td>",
            human(rate.median as u64),
            mib(rate.min),
            mib(rate.max)
        );
        let memory = match series.peak_memory() {
            0 => "–".to_owned(),
            bytes => human(bytes),
        };
        let _ = writeln!(
            out,
            "<td class=\"num\">{:.2} s</td><td class=\"num\">{memory}</td></tr>",
            cpu.median
        );
    }
    *out += "</table></div>\n";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Sample, Setting};

    #[test]
    fn a_page_has_every_setting_and_nothing_from_elsewhere() {
        let series = |engine: &str, seconds: Option<f64>| Series {
            setting: Setting { engine: engine.to_owned(), threads: 2.into(), io_size: None },
            samples: seconds
                .map(|seconds| Sample { seconds, ..Sample::default() })
                .into_iter()
                .collect(),
            unusable: seconds.is_none().then(|| "cannot <serve>".to_owned()),
        };
        let all = [series("direct", Some(0.5)), series("mmap", None)];
        let recommended = Recommended {
            at: 0,
            reason: "the fastest".to_owned(),
            command: "pcopy -t 2 'a<b' c".to_owned(),
        };
        let around = Around {
            title: "a<b to c".to_owned(),
            conditions: vec!["Nothing was read".to_owned()],
            recommended: Some(recommended),
            ..Around::default()
        };
        let page = html(&all, 1 << 20, &around);
        for text in [
            "2 MiB/s",
            "cannot &lt;serve&gt;",
            "'a&lt;b' c",
            "Nothing was read.",
            "<tr class=\"best\">",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(
            !page.contains("<b ") && !page.contains("<script") && !page.contains("href="),
            "{page}"
        );
        assert_eq!(page.matches("<tr").count(), 3);
    }
}
