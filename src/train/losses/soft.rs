//! Soft targets: a teacher's whole distribution as the target.

use super::{Loss, log_softmax};

/// Computes `T^2 KL(teacher || student)` of `softmax(logits / T)`, the mean over rows (Hinton et al. 2015, section 2). The
/// factor T^2 keeps gradients equally large at any temperature, so that the weight beside hard labels can stay.
///
/// Both logits are (rows, classes); the gradient is of the student's.
pub(crate) fn soft_targets(
    student: &[f32],
    teacher: &[f32],
    classes: usize,
    temperature: f64,
) -> Loss {
    assert_eq!(student.len(), teacher.len());
    let mut loss = Loss::none(student.len());
    let rows = (student.len() / classes).max(1) as f64;
    let gradients = loss.gradient.chunks_exact_mut(classes);
    let both = student
        .chunks_exact(classes)
        .zip(teacher.chunks_exact(classes));
    for ((student, teacher), gradient) in both.zip(gradients) {
        let student = log_softmax(student, temperature);
        let teacher = log_softmax(teacher, temperature);
        for ((student, teacher), gradient) in student.iter().zip(&teacher).zip(gradient) {
            let share = teacher.exp();
            // A probability of 0 has an infinite logarithm and contributes nothing.
            if share > 0.0 {
                loss.value += temperature * temperature * share * (teacher - student) / rows;
            }
            *gradient = (temperature * (student.exp() - share) / rows) as f32;
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Golden, differences};
    use super::*;

    #[test]
    fn soft_targets_are_those_of_pytorch() {
        let golden = Golden::of("soft_targets");
        let (student, teacher) = (golden.floats("student"), golden.floats("teacher"));
        let loss = soft_targets(&student, &teacher, 3, 2.5);
        golden.check(&loss, 1e-6);
        differences(&student, &loss.gradient, |student| {
            soft_targets(student, &teacher, 3, 2.5).value
        });
    }

    #[test]
    fn a_student_like_its_teacher_has_nothing_to_learn() {
        let logits = [3.0, -1.0, 0.5, 900.0, -900.0, 0.0];
        assert_eq!(soft_targets(&logits, &logits, 3, 1.0), Loss::none(6));
    }
}
