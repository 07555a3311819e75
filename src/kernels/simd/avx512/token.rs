//! The proof that this processor has the level's instructions. Only the code of this file can make one.

/// Proof that this processor has AVX-512 F, BW, DQ and VL, AVX2 and FMA, and VNNI and BF16 where that is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512<const VNNI: bool, const BF16: bool = false>(());

impl<const VNNI: bool, const BF16: bool> Avx512<VNNI, BF16> {
    /// The token, if this processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        // `enter` compiles for VNNI wherever it compiles for BF16.
        const { assert!(VNNI || !BF16, "BF16 comes with VNNI") };
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && (!VNNI || is_x86_feature_detected!("avx512vnni"))
            && (!BF16 || is_x86_feature_detected!("avx512bf16"));
        has.then_some(Self(()))
    }
}

impl<const BF16: bool> Avx512<true, BF16> {
    /// The level without VNNI, which computes floats as this one does.
    pub(crate) fn without_vnni(self) -> Avx512<false> {
        Avx512(())
    }
}

impl Avx512<true, true> {
    /// The level without BF16, which computes bytes as this one does.
    pub(crate) fn without_bf16(self) -> Avx512<true> {
        Avx512(())
    }
}
