//! Numbers as text, written straight into a buffer. `core::fmt` costs several times as much, and every request writes
//! a dozen numbers.

/// Most digits of a 64-bit number.
const DIGITS: usize = 20;

const ONES: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;

/// The digits of 00 to 99. Two digits a division halve the divisions.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

/// Appends a number in decimal.
pub fn write_decimal(value: u64, out: &mut Vec<u8>) {
    write_padded(value, 1, out);
}

/// Appends a number in decimal, with zeros in front up to `width` digits (at most 20).
pub fn write_padded(mut value: u64, width: usize, out: &mut Vec<u8>) {
    if value < 10 && width <= 1 {
        return out.push(b'0' + value as u8);
    }
    let mut digits = [b'0'; DIGITS];
    let mut at = DIGITS;
    while value >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        value /= 100;
    }
    if value > 0 {
        at -= 1;
        digits[at] = b'0' + value as u8;
    }
    out.extend_from_slice(&digits[at.min(DIGITS - width)..]);
}

/// Appends a number below 1000 as three digits.
pub fn write_three(value: u64, out: &mut Vec<u8>) {
    let [tens, ones] = PAIRS[(value % 100) as usize];
    out.extend_from_slice(&[b'0' + (value / 100) as u8, tens, ones]);
}

/// Appends the last `width` hexadecimal digits of a number (at most 16).
pub fn write_hex(value: u64, width: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&hex(value)[16 - width..]);
}

/// All 16 digits at once: each nibble is moved to a byte of its own, and then each byte becomes its digit.
fn hex(value: u64) -> [u8; 16] {
    // Spread the nibbles, the first to the lowest byte.
    let mut spread = u128::from(value.swap_bytes());
    spread = (spread | spread << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    spread = (spread >> 4 | spread << 8) & (ONES * 0x0f);
    // Adding 6 carries nibbles above 9 into bit 4. Those bytes need the distance from '9' + 1 to 'a' too.
    let letters = (spread + ONES * 6) >> 4 & ONES;
    (spread + ONES * 0x30 + letters * 0x27).to_le_bytes()
}

/// Appends a duration in milliseconds with three decimals, rounded.
pub fn write_ms(nanoseconds: u64, out: &mut Vec<u8>) {
    let micros = nanoseconds.saturating_add(500) / 1000;
    write_decimal(micros / 1000, out);
    out.push(b'.');
    write_three(micros % 1000, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{write_decimal, write_hex, write_ms, write_padded};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    proptest! {
        #[test]
        fn as_the_standard_library_writes_them(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            prop_assert_eq!(written(|out| write_decimal(value, out)), value.to_string());
            prop_assert_eq!(written(|out| write_padded(value, 3, out)), format!("{value:03}"));
            prop_assert_eq!(written(|out| write_hex(value, 16, out)), format!("{value:016x}"));
            let short = value as u32;
            prop_assert_eq!(written(|out| write_hex(value, 8, out)), format!("{short:08x}"));
        }
    }

    #[test]
    fn milliseconds_are_rounded_to_microseconds() {
        for (nanos, text) in [
            (0, "0.000"),
            (499, "0.000"),
            (500, "0.001"),
            (1_234_567, "1.235"),
            (999_999_600, "1000.000"),
            (u64::MAX, "18446744073709.551"),
        ] {
            assert_eq!(written(|out| write_ms(nanos, out)), text, "{nanos}");
        }
    }
}
