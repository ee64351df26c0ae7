//! Amounts as people read them, in Go's units.

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

#[cfg(test)]
mod tests {
    use super::*;

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
