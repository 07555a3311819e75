//! Tokenizer classes of transformers: finds a folder's class, which decides how its files are read.
//!
//! transformers 5 builds a class's own pipeline around the vocabulary of `tokenizer.json` or `vocab.txt`; only its
//! generic classes follow the rest of `tokenizer.json`. (Version 4 followed `tokenizer.json` for every class.)

use serde::Deserialize;

use super::document::{Document, Json};
use super::tokenizer_json::TOKENIZER;
use crate::error::{Error, Result};
use crate::tokenizer::quote::cut;
use crate::weights::{ModelFiles, join_within};

/// Way in which a tokenizer's files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// The files hold a vocabulary for BERT's pipeline; keys of tokenizer_config.json configure its normalizer.
    Bert,
    /// The files hold a vocabulary for BERT's pipeline with MPNet's special tokens.
    Mpnet,
    /// `tokenizer.json` defines the whole tokenizer.
    File,
}

/// Tokenizer class of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenizerClass {
    /// Name of the class in transformers.
    pub(super) name: String,
    pub(super) scheme: Scheme,
}

/// Classes that transformers 5 opens as `BertTokenizer`.
const BERT: [&str; 7] = [
    "BertTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "LayoutLMTokenizer",
    "LxmertTokenizer",
    "MobileBertTokenizer",
    "SqueezeBertTokenizer",
];
const MPNET: &str = "MPNetTokenizer";
/// Classes that transformers 5 opens by `tokenizer.json` alone.
const GENERIC: [&str; 4] = [
    "PreTrainedTokenizer",
    "PythonBackend",
    "TokenizersBackend",
    "BloomTokenizer",
];
/// Classes of transformers 5.23 that read a folder in other ways.
///
/// A name in none of the lists is not a class of transformers, which then follows `tokenizer.json`.
const OTHERS: &str = "AlbertTokenizer AutoTokenizer BartTokenizer BarthezTokenizer BartphoTokenizer BasicTokenizer \
    BertGenerationTokenizer BertJapaneseTokenizer BertTokenizerLegacy BertweetTokenizer BigBirdTokenizer BioGptTokenizer \
    BlenderbotSmallTokenizer BlenderbotTokenizer ByT5Tokenizer CLIPTokenizer CTRLTokenizer CamembertTokenizer \
    CanineTokenizer CharacterTokenizer ClvpTokenizer CodeGenTokenizer CodeLlamaTokenizer CohereTokenizer ConvBertTokenizer \
    CpmAntTokenizer CpmTokenizer DPRContextEncoderTokenizer DPRQuestionEncoderTokenizer DPRReaderTokenizer \
    DebertaTokenizer DebertaV2Tokenizer DiaTokenizer EsmTokenizer EsmcTokenizer FNetTokenizer FSMTTokenizer \
    FastSpeech2ConformerTokenizer FlaubertTokenizer FunnelTokenizer GPT2Tokenizer GPTNeoXJapaneseTokenizer GPTNeoXTokenizer \
    GPTSw3Tokenizer GemmaTokenizer HerbertTokenizer LEDTokenizer LasrTokenizer LayoutLMv2Tokenizer LayoutLMv3Tokenizer \
    LayoutXLMTokenizer LlamaTokenizer LongformerTokenizer LukeTokenizer M2M100Tokenizer MBart50Tokenizer MBartTokenizer \
    MLukeTokenizer MarianTokenizer MarkupLMTokenizer MecabTokenizer MgpstrTokenizer MistralCommonBackend MvpTokenizer \
    MyT5Tokenizer NllbTokenizer NougatTokenizer OpenAIGPTTokenizer PLBartTokenizer ParakeetTokenizer PegasusTokenizer \
    PerceiverTokenizer Phi3Tokenizer PhobertTokenizer Pop2PianoTokenizer PreTrainedTokenizerBase ProphetNetTokenizer \
    Qwen2Tokenizer Qwen3_5Tokenizer RagTokenizer ReformerTokenizer RemBertTokenizer RoCBertTokenizer RoFormerTokenizer \
    RobertaTokenizer SeamlessM4TTokenizer SentencePieceBackend Siglip2Tokenizer SiglipTokenizer Speech2TextTokenizer \
    SpeechT5Tokenizer SplinterTokenizer T5Tokenizer TapasTokenizer Tipsv2Tokenizer UdopTokenizer VideoPrismTokenizer \
    VitsTokenizer Wav2Vec2CTCTokenizer Wav2Vec2PhonemeCTCTokenizer WhisperTokenizer WordpieceTokenizer XGLMTokenizer \
    XLMRobertaTokenizer XLMTokenizer XLNetTokenizer";

/// Keys of `config.json` that decide a tokenizer's class.
#[derive(Default, Deserialize)]
struct Model {
    tokenizer_class: Option<Json>,
    model_type: Option<Json>,
}

impl TokenizerClass {
    /// Finds the class: the one that tokenizer_config.json names, else config.json, else that of the model's family.
    ///
    /// # Errors
    /// `UnsupportedTokenizer` for a class that does not tokenize as BERT does, and for one that needs a missing
    /// `tokenizer.json`; `Config`, `Json` and `Io` for faults of the files.
    pub(super) fn of(files: &ModelFiles, folder: &str, config: &Document) -> Result<Self> {
        let is_listed = files.has(&join_within(folder, TOKENIZER, TOKENIZER)?);
        if let Some(name) = config.text("tokenizer_class")? {
            return Self::named(config.file(), "tokenizer_class", name, is_listed);
        }
        let file = join_within(folder, "config.json", "config.json")?;
        let model: Model = match files.read(&file)? {
            None => Model::default(),
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|cause| Error::Json {
                file: file.clone(),
                cause,
            })?,
        };
        if let Some(name) = text(&file, "tokenizer_class", &model.tokenizer_class)? {
            return Self::named(&file, "tokenizer_class", name, is_listed);
        }
        // Code in the folder is never run, and nothing else defines how it would use a vocabulary alone.
        if let Some(name) = own_code(config).filter(|_| !is_listed) {
            return Self::named(config.file(), "auto_map", name, is_listed);
        }
        let (name, scheme) = match text(&file, "model_type", &model.model_type)? {
            Some("mpnet") => (MPNET, Scheme::Mpnet),
            Some("bert" | "distilbert" | "electra" | "mobilebert") => (BERT[0], Scheme::Bert),
            // A tokenizer without a model, or with a model of an unsupported family.
            _ if is_listed => ("TokenizersBackend", Scheme::File),
            _ => (BERT[0], Scheme::Bert),
        };
        let name = name.to_owned();
        Ok(Self { name, scheme })
    }

    /// Returns the class of this name, which `key` of `file` holds.
    fn named(file: &str, key: &str, name: &str, is_listed: bool) -> Result<Self> {
        let plain = name.strip_suffix("Fast").unwrap_or(name);
        let unsupported = |reason: &str| {
            Err(Error::UnsupportedTokenizer {
                file: file.to_owned(),
                reason: format!("{key} {} {reason}", cut(name)),
            })
        };
        let scheme = match plain {
            MPNET => Scheme::Mpnet,
            _ if BERT.contains(&plain) => Scheme::Bert,
            _ if OTHERS.split_whitespace().any(|other| other == plain) => {
                return unsupported(
                    "is not supported: its tokens may differ from those of BertTokenizer",
                );
            }
            _ if is_listed => Scheme::File,
            _ if GENERIC.contains(&plain) => {
                return unsupported("needs tokenizer.json, which is not there");
            }
            _ => {
                return unsupported(
                    "is not supported: it is no class of transformers, and there is no tokenizer.json that says what it does",
                );
            }
        };
        Ok(Self {
            name: name.to_owned(),
            scheme,
        })
    }
}

/// Returns a string of config.json; `None` for a key that is absent, `null` or empty.
fn text<'a>(file: &str, key: &str, value: &'a Option<Json>) -> Result<Option<&'a str>> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(other) => Err(Error::Config {
            file: file.to_owned(),
            key: key.to_owned(),
            reason: format!("{other} is not a string"),
        }),
    }
}

/// Returns the class that `auto_map` names, as `{"AutoTokenizer": ["file.Slow", "file.Fast"]}` or as the list alone.
fn own_code(config: &Document) -> Option<&str> {
    let classes = match config.get("auto_map")? {
        Json::Object(map) => map.get("AutoTokenizer")?,
        list => list,
    };
    let path = match classes {
        Json::List(classes) => classes.iter().find_map(|class| match class {
            Json::Text(path) => Some(path),
            _ => None,
        })?,
        Json::Text(path) => path,
        _ => return None,
    };
    path.rsplit('.').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(config: &str, model: &str, listed: bool) -> Result<TokenizerClass> {
        let mut files = ModelFiles::new()
            .with("tokenizer_config.json", config.as_bytes().to_vec())
            .with("config.json", model.as_bytes().to_vec());
        if listed {
            files = files.with(TOKENIZER, b"{}");
        }
        let config = Document::read(&files, "", "tokenizer_config.json")?.unwrap_or_default();
        TokenizerClass::of(&files, "", &config)
    }

    fn scheme(config: &str, model: &str, listed: bool) -> Option<Scheme> {
        class(config, model, listed).ok().map(|class| class.scheme)
    }

    #[test]
    fn the_tokenizer_s_config_stands_over_the_model_s_and_that_over_the_family() {
        let bert = r#"{"model_type": "bert"}"#;
        let mpnet = r#"{"model_type": "mpnet"}"#;
        let named = r#"{"model_type": "bert", "tokenizer_class": "MPNetTokenizerFast"}"#;
        for listed in [false, true] {
            assert_eq!(scheme("{}", bert, listed), Some(Scheme::Bert));
            assert_eq!(scheme("{}", mpnet, listed), Some(Scheme::Mpnet));
            assert_eq!(scheme("{}", named, listed), Some(Scheme::Mpnet));
            let config = r#"{"tokenizer_class": "ElectraTokenizerFast"}"#;
            assert_eq!(scheme(config, named, listed), Some(Scheme::Bert));
            for none in [r#"{"tokenizer_class": null}"#, r#"{"tokenizer_class": ""}"#] {
                assert_eq!(scheme(none, named, listed), Some(Scheme::Mpnet));
            }
        }
        assert_eq!(scheme("{}", "{}", true), Some(Scheme::File));
        assert_eq!(scheme("{}", "{}", false), Some(Scheme::Bert));
    }

    #[test]
    fn a_class_of_another_scheme_is_named() {
        for name in [
            "BertJapaneseTokenizer",
            "RoFormerTokenizerFast",
            "FunnelTokenizer",
            "XLNetTokenizer",
        ] {
            for listed in [false, true] {
                let config = format!(r#"{{"tokenizer_class": {name:?}}}"#);
                let error = class(&config, "{}", listed).unwrap_err().to_string();
                assert!(
                    error.contains(name) && error.contains("tokenizer_config.json"),
                    "{error}"
                );
                let error = class("{}", &config, listed).unwrap_err().to_string();
                assert!(
                    error.contains(name) && error.starts_with("config.json"),
                    "{error}"
                );
            }
        }
        let error = class(r#"{"tokenizer_class": ["x"]}"#, "{}", true).unwrap_err();
        assert!(
            matches!(&error, Error::Config { key, .. } if key == "tokenizer_class"),
            "{error}"
        );
    }

    #[test]
    fn a_class_of_somebody_s_own_needs_tokenizer_json() {
        let own = r#"{"tokenizer_class": "KoBertTokenizer"}"#;
        let generic = r#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#;
        let code = r#"{"auto_map": {"AutoTokenizer": ["tokenization.KoBertTokenizer", null]}}"#;
        let bert = r#"{"model_type": "bert"}"#;
        let path = r#"{"auto_map": {"AutoTokenizer": "tokenization.KoBertTokenizer"}}"#;
        for (config, name) in [
            (own, "KoBertTokenizer"),
            (generic, "PreTrainedTokenizerFast"),
            (code, "KoBertTokenizer"),
            (path, "KoBertTokenizer"),
        ] {
            let error = class(config, bert, false).unwrap_err().to_string();
            assert!(
                error.contains(name) && error.contains("tokenizer.json"),
                "{error}"
            );
        }
        let error = class(own, bert, false).unwrap_err().to_string();
        assert!(error.contains("no class of transformers"), "{error}");
        assert_eq!(scheme(own, bert, true), Some(Scheme::File));
        assert_eq!(scheme(generic, bert, true), Some(Scheme::File));
        // Without the class's code, transformers follows the model's family.
        assert_eq!(scheme(code, bert, true), Some(Scheme::Bert));
    }
}
