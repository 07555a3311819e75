//! The post-processor of a `tokenizer.json`: special tokens around and between texts.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::tokenizer::quote::cut;
use crate::tokenizer::template::{Template, TemplatePiece};

#[derive(Deserialize)]
pub(super) struct PostProcessor {
    pub(super) r#type: String,
    #[serde(default)]
    single: Vec<PartEntry>,
    #[serde(default)]
    pair: Vec<PartEntry>,
    #[serde(default)]
    special_tokens: BTreeMap<String, SpecialEntry>,
    sep: Option<(String, u32)>,
    cls: Option<(String, u32)>,
}

#[derive(Deserialize)]
enum PartEntry {
    SpecialToken { id: String, type_id: u32 },
    Sequence { id: String, type_id: u32 },
}

#[derive(Deserialize)]
struct SpecialEntry {
    ids: Vec<u32>,
}

impl PostProcessor {
    pub(super) fn template(&self) -> Result<Template, String> {
        match (self.r#type.as_str(), &self.cls, &self.sep) {
            ("BertProcessing", Some(cls), Some(sep)) => Ok(Template::bert(cls.1, sep.1)),
            ("RobertaProcessing", Some(cls), Some(sep)) => Ok(Template::roberta(cls.1, sep.1)),
            ("TemplateProcessing", ..) => self.parts(),
            (other, ..) => Err(format!(
                "its post-processor is {}, only TemplateProcessing, BertProcessing and RobertaProcessing are supported",
                cut(other)
            )),
        }
    }

    fn parts(&self) -> Result<Template, String> {
        let parts = |entries: &[PartEntry]| -> Result<Vec<TemplatePiece>, String> {
            let mut parts = Vec::new();
            for entry in entries {
                match entry {
                    PartEntry::Sequence { id, type_id } => parts.push(TemplatePiece::Text {
                        index: match id.as_str() {
                            "A" => 0,
                            "B" => 1,
                            other => {
                                return Err(format!("its template names a text {:?}", cut(other)));
                            }
                        },
                        type_id: *type_id,
                    }),
                    PartEntry::SpecialToken { id, type_id } => {
                        let Some(special) = self.special_tokens.get(id) else {
                            let id = cut(id);
                            return Err(format!(
                                "its template names {id:?}, which it does not define"
                            ));
                        };
                        let type_id = *type_id;
                        let ids = special.ids.iter();
                        parts.extend(ids.map(|&id| TemplatePiece::Special { id, type_id }));
                    }
                }
            }
            Ok(parts)
        };
        let template = Template {
            single: parts(&self.single)?,
            pair: parts(&self.pair)?,
        };
        let times = |parts: &[TemplatePiece], wanted: u8| {
            let texts = parts.iter();
            texts
                .filter(
                    |part| matches!(part, TemplatePiece::Text { index, .. } if *index == wanted),
                )
                .count()
        };
        let well = times(&template.single, 0) == 1
            && times(&template.single, 1) == 0
            && times(&template.pair, 0) == 1
            && times(&template.pair, 1) == 1;
        if well {
            Ok(template)
        } else {
            Err("its template does not hold each text once".to_owned())
        }
    }
}
