//! Qualities that a person wrote: what is out of its range, by the name of the field.

use super::quality::{CERTAIN_PPM, Gate, Quality};

/// Longer than any time limit of a store or client; above, a delay is a cut.
const TIME_US_MAX: u64 = 60_000_000;
/// Every internet link must pass so much (RFC 791, section 3.2).
const MTU_MIN: u16 = 68;
/// A full packet in 1.5 s; below, a rate is a cut.
const KBIT_PER_S_MIN: u64 = 8;
/// Above, the switch itself is the bottleneck.
const KBIT_PER_S_MAX: u64 = 100_000_000;

impl Quality {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the field, its value and its range.
    pub fn validate(&self) -> Result<(), String> {
        self.shares()?;
        self.times()?;
        if let Some(rate) = self.rate {
            in_range("rate.kbit_per_s", rate.kbit_per_s, KBIT_PER_S_MIN, KBIT_PER_S_MAX)?;
        }
        if let Some(mtu) = self.mtu {
            in_range("mtu", mtu.into(), MTU_MIN.into(), u16::MAX.into())?;
        }
        if self.jitter_us > self.delay_us {
            let (jitter, delay) = (self.jitter_us, self.delay_us);
            return Err(format!(
                "`jitter_us` {jitter} is more than `delay_us` {delay}: no packet arrives before it was sent"
            ));
        }
        if self.cut_ports.contains(&0) {
            return Err("`cut_ports` has port 0, which nothing uses".into());
        }
        Ok(())
    }

    fn shares(&self) -> Result<(), String> {
        let (reorder, burst) = (self.reorder, self.burst);
        let shares = [
            ("loss_ppm", Some(self.loss_ppm), 0),
            ("duplicate_ppm", Some(self.duplicate_ppm), 0),
            ("corrupt_ppm", Some(self.corrupt_ppm), 0),
            ("corrupt_past_checksum_ppm", Some(self.corrupt_past_checksum_ppm), 0),
            ("reorder.share_ppm", reorder.map(|reorder| reorder.share_ppm), 1),
            ("burst.enter_ppm", burst.map(|burst| burst.enter_ppm), 1),
            ("burst.leave_ppm", burst.map(|burst| burst.leave_ppm), 1),
            ("burst.loss_ppm", burst.map(|burst| burst.loss_ppm), 1),
        ];
        for (name, share, least) in shares {
            share.map_or(Ok(()), |share| in_range(name, share.into(), least, CERTAIN_PPM.into()))?;
        }
        Ok(())
    }

    fn times(&self) -> Result<(), String> {
        in_range("delay_us", self.delay_us, 0, TIME_US_MAX)?;
        if let Some(reorder) = self.reorder {
            in_range("reorder.by_us", reorder.by_us, 1, TIME_US_MAX)?;
        }
        if let Some(rate) = self.rate {
            in_range("rate.queue_us", rate.queue_us, 1, TIME_US_MAX)?;
        }
        check_gate("flap", self.flap, 0)?;
        // What is held must be let go some time: a stall that never opens again would be a cut with a memory.
        check_gate("stall", self.stall, 1)
    }
}

fn check_gate(name: &str, gate: Option<Gate>, open_us_min: u64) -> Result<(), String> {
    let Some(gate) = gate else { return Ok(()) };
    in_range(&format!("{name}.first_us"), gate.first_us, 0, TIME_US_MAX)?;
    in_range(&format!("{name}.closed_us"), gate.closed_us, 1, TIME_US_MAX)?;
    in_range(&format!("{name}.open_us"), gate.open_us, open_us_min, TIME_US_MAX)
}

fn in_range(name: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("`{name}` is {value}; it must be from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Result<(), &str>) {
        let quality: Quality = serde_json::from_str(json).unwrap();
        assert_eq!(quality.validate(), expected.map_err(String::from), "{json}");
    }

    #[test]
    fn takes_what_makes_sense() {
        check("{}", Ok(()));
        check(r#"{"delay_us":50000,"jitter_us":10000,"loss_ppm":1000000,"mtu":68}"#, Ok(()));
        check(
            r#"{"flap":{"closed_us":1,"open_us":0},"rate":{"kbit_per_s":8,"queue_us":1}}"#,
            Ok(()),
        );
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        check(
            r#"{"loss_ppm":1000001}"#,
            Err("`loss_ppm` is 1000001; it must be from 0 to 1000000"),
        );
        check(r#"{"mtu":67}"#, Err("`mtu` is 67; it must be from 68 to 65535"));
        check(
            r#"{"delay_us":60000001}"#,
            Err("`delay_us` is 60000001; it must be from 0 to 60000000"),
        );
        check(
            r#"{"delay_us":5,"jitter_us":6}"#,
            Err("`jitter_us` 6 is more than `delay_us` 5: no packet arrives before it was sent"),
        );
        check(
            r#"{"rate":{"kbit_per_s":7,"queue_us":1}}"#,
            Err("`rate.kbit_per_s` is 7; it must be from 8 to 100000000"),
        );
        check(
            r#"{"stall":{"closed_us":1,"open_us":0}}"#,
            Err("`stall.open_us` is 0; it must be from 1 to 60000000"),
        );
        check(
            r#"{"burst":{"enter_ppm":0,"leave_ppm":1,"loss_ppm":1}}"#,
            Err("`burst.enter_ppm` is 0; it must be from 1 to 1000000"),
        );
        check(r#"{"cut_ports":[0]}"#, Err("`cut_ports` has port 0, which nothing uses"));
    }
}
