//! Sizes in bytes.

use super::{Complaint, quoted};

/// `512Ki`, `100Mi`, `1Gi`: as Kubernetes writes quantities of memory.
pub(crate) fn size(written: &str) -> Result<u64, Complaint> {
    let units = [("Ki", 1_u64 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)];
    let bytes = units.iter().find_map(|(unit, bytes)| {
        let number = written.strip_suffix(unit)?;
        let is_whole = number.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_whole.then(|| number.parse::<u64>().ok()).flatten()?;
        number.checked_mul(*bytes)
    });
    bytes.ok_or_else(|| {
        Complaint::new(
            "BadSize",
            format!("{} is not a size", quoted(written)),
            "write a whole number with a unit, such as `512Ki`, `100Mi` or `1Gi`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(size("512Ki"), Ok(512 * 1024));
        assert_eq!(size("100Mi"), Ok(100 * 1024 * 1024));
        assert_eq!(size("1Gi"), Ok(1 << 30));
        for written in [
            "",
            "Mi",
            "5",
            "5M",
            "5mi",
            "-5Mi",
            "+5Mi",
            "5 Mi",
            "1.5Gi",
            "99999999999999999999Ki",
            "18446744073709551615Gi",
        ] {
            let complaint = size(written).unwrap_err();
            assert_eq!(complaint.reason, "BadSize", "{written}");
        }
    }
}
