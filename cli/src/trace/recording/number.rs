//! Numbers of variable length: seven bits a byte, the lowest first.

/// Appends one.
pub fn write(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes one off the front. None if the bytes end before it does, or it has more than 64 bits.
pub fn read(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A small number of either sign as a small one without.
pub fn folded(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}

/// The reverse of [`folded`].
pub fn unfolded(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(numbers: Vec<u64>, signed: i64) {
            let mut bytes = Vec::new();
            numbers.iter().for_each(|&number| write(&mut bytes, number));
            let mut rest = &bytes[..];
            for number in numbers {
                prop_assert_eq!(read(&mut rest), Some(number));
            }
            prop_assert_eq!(read(&mut rest), None);
            prop_assert_eq!(unfolded(folded(signed)), signed);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            let before = rest.len();
            let number = read(&mut rest);
            prop_assert!(number.is_none() || rest.len() < before);
        }
    }

    #[test]
    fn small_numbers_of_both_signs_take_a_byte() {
        for number in [0, -1, 1, -64, 63] {
            assert!(folded(number) < 128, "{number}");
        }
        assert_eq!(read(&mut &[0xff; 10][..]), None, "70 bits");
    }
}
