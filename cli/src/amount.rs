//! Amounts as people read and write them: bytes in Go's units, and times.

use std::time::Duration;

/// Bytes in an MB as tables and charts have it, which say so.
pub const MIB: f64 = (1 << 20) as f64;

const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

/// Bytes with one decimal: `1.5 MiB`.
pub fn bytes(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64;
    let mut unit = 0;
    // What would be rounded to 1024.0 belongs to the next unit.
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// A memory limit as GOMEMLIMIT takes it: `1GiB`, or `off`.
pub fn limit(limit: i64) -> String {
    if limit == i64::MAX {
        return "off".into();
    }
    let mut amount = limit;
    let mut unit = 0;
    while amount > 0 && amount % 1024 == 0 && unit + 1 < UNITS.len() {
        amount /= 1024;
        unit += 1;
    }
    format!("{amount}{}", UNITS[unit])
}

/// A percentage as GOGC takes it: `100`, or `off`.
pub fn percent(percent: i64) -> String {
    if percent < 0 {
        "off".into()
    } else {
        percent.to_string()
    }
}

/// A heap goal: there is none where collection is off.
pub fn goal(goal: u64) -> String {
    if goal >= 1 << 60 {
        "none".into()
    } else {
        bytes(goal)
    }
}

/// A time as people write it: a number, and ms, s, m or h behind it.
pub fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text} is no time; write 200ms, 30s, 2m or 1h");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let seconds = number * unit;
    if !(0.001..=1e6).contains(&seconds) {
        return Err(wrong());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Reads the time from one look to the next: as [`time`] does, or a number alone, of milliseconds. From so many
/// milliseconds to an hour.
pub fn between_looks(least: u64) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    let bounds = Duration::from_millis(least)..=Duration::from_secs(3600);
    move |text| {
        let alone = text.parse().map(Duration::from_millis);
        let every = alone.or_else(|_| time(text))?;
        match bounds.contains(&every) {
            true => Ok(every),
            false => Err(format!("{text} is not from {least}ms to 1h")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(time("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(time("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "s", "5", "5 years", "-1s", "0s", "1e9h"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn between_looks_a_number_alone_is_milliseconds() {
        let read = between_looks(50);
        for good in ["250", "250ms", "0.25s"] {
            assert_eq!(read(good), Ok(Duration::from_millis(250)), "{good}");
        }
        for (bad, why) in [
            ("49", "from 50ms to 1h"),
            ("2h", "from 50ms to 1h"),
            ("x", "write 200ms"),
            ("", "write 200ms"),
        ] {
            assert!(read(bad).is_err_and(|said| said.contains(why)), "{bad}");
        }
    }

    #[test]
    fn bytes_read_as_people_say_them() {
        for (n, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn settings_read_as_go_takes_them() {
        assert_eq!(
            (limit(1 << 30), limit(1000)),
            ("1GiB".into(), "1000B".into())
        );
        assert_eq!((limit(i64::MAX), limit(0)), ("off".into(), "0B".into()));
        assert_eq!((percent(-1), percent(50)), ("off".into(), "50".into()));
        assert_eq!(
            (goal(u64::MAX), goal(4 << 20)),
            ("none".into(), "4.0 MiB".into())
        );
    }
}
