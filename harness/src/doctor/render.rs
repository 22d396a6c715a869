//! The report as text: the answer first, one line per mechanism, then what to type. Plain: it reads the same without colour.

use std::fmt::Write;

use super::report::{Finding, Mend, Report};

/// The whole text, with a line end after every line.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    write(&mut text, report).expect("writing to a string cannot fail");
    text
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    headline(text, report)?;
    table(text, &report.findings)?;
    mends(text, &report.findings)
}

fn headline(text: &mut String, report: &Report) -> std::fmt::Result {
    let host = &report.host;
    let container = host
        .container
        .as_ref()
        .map(|name| format!(", in a container ({name})"))
        .unwrap_or_default();
    let place = format!(
        "Linux {}, uid {}{container}; {} probes in {} ms",
        host.kernel,
        host.euid,
        report.findings.len(),
        report.took_ms
    );
    if report.can_run {
        writeln!(text, "OK  runs with partitions, kills and pauses work here ({place})\n")
    } else {
        writeln!(text, "CANNOT RUN  missing: {} ({place})\n", report.missing.join(", "))
    }
}

fn table(text: &mut String, findings: &[Finding]) -> std::fmt::Result {
    let name_width = width(findings, |finding| &finding.mechanism);
    let need_width = width(findings, |finding| finding.need.word());
    let purpose_width = width(findings, |finding| &finding.purpose);
    for finding in findings {
        let works = if finding.works { "yes" } else { "no" };
        let line = format!(
            "{works:<3}  {:<name_width$}  {:<need_width$}  {:<purpose_width$}  {}",
            finding.mechanism,
            finding.need.word(),
            finding.purpose,
            finding.detail
        );
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(())
}

fn width<'a>(findings: &'a [Finding], column: impl Fn(&'a Finding) -> &'a str) -> usize {
    findings.iter().map(|finding| column(finding).chars().count()).max().unwrap_or(0)
}

/// Each mend once, with all the mechanisms that it serves.
fn mends(text: &mut String, findings: &[Finding]) -> std::fmt::Result {
    let mut distinct: Vec<(&Mend, Vec<&str>)> = Vec::new();
    for finding in findings {
        for mend in &finding.mends {
            match distinct.iter_mut().find(|(known, _)| *known == mend) {
                Some((_, names)) => names.push(&finding.mechanism),
                None => distinct.push((mend, vec![&finding.mechanism])),
            }
        }
    }
    if !distinct.is_empty() {
        writeln!(text, "\nto mend:")?;
    }
    for (mend, names) in distinct {
        writeln!(text, "  {}: {}\n      {}", names.join(", "), mend.why, mend.command)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Host, Need};

    fn finding(mechanism: &str, need: Need, detail: &str, mends: &[(&str, &str)]) -> Finding {
        Finding {
            mechanism: mechanism.to_owned(),
            works: mends.is_empty(),
            need,
            purpose: "what for".to_owned(),
            detail: detail.to_owned(),
            blocked_by: None,
            mends: mends
                .iter()
                .map(|(why, command)| Mend {
                    why: (*why).to_owned(),
                    command: (*command).to_owned(),
                })
                .collect(),
            took_ms: 1,
        }
    }

    #[test]
    fn says_the_answer_first_then_the_lines_then_each_mend_once() {
        let install = [("iptables is not installed", "apt-get install iptables")];
        let report = Report {
            squall_doctor: 1,
            can_run: false,
            missing: vec!["pidfd".to_owned(), "veth".to_owned()],
            host: Host {
                kernel: "6.1.0".to_owned(),
                euid: 1000,
                ..Host::default()
            },
            findings: vec![
                finding("user-namespace", Need::OneForIsolation, "own id mapped", &[]),
                finding(
                    "iptables-legacy",
                    Need::OneForPartitions,
                    "iptables-legacy-restore is missing",
                    &install,
                ),
                finding("iptables-nft", Need::OneForPartitions, "iptables-nft-restore is missing", &install),
            ],
            took_ms: 90,
        };
        insta::assert_snapshot!(render(&report), @r"
        CANNOT RUN  missing: pidfd, veth (Linux 6.1.0, uid 1000; 3 probes in 90 ms)

        yes  user-namespace   one of (isolation)  what for  own id mapped
        no   iptables-legacy  one of (partition)  what for  iptables-legacy-restore is missing
        no   iptables-nft     one of (partition)  what for  iptables-nft-restore is missing

        to mend:
          iptables-legacy, iptables-nft: iptables is not installed
              apt-get install iptables
        ");
    }
}
