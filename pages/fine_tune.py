"""Fine-tune: the weights that pruning left learn again, the zeros stay, and the best epoch is kept whatever comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from nettrim_core.figures import fine_tune as figures
from nettrim_core.methods import titled
from pages import frame, retrainings, session, snippets_fine_tune, store, work
from pages import words_fine_tune as words
from pages.retrainings import Retraining
from pages.state import EPSILON_RANGE, Choice, setting_fields

MAIN = ("train.epochs", "train.rate", "train.batch", "train.patience")
MORE = ("train.momentum", "train.adam", "train.cosine", "train.seed")
state = st.session_state


def main() -> None:
    choice = frame.top("Let the rest learn again", words.INTRO)
    if frame.ready(choice):
        work.live(show)


def show() -> None:
    choice = session.current_choice()
    if not frame.ready(choice):
        return
    if store.bundle_of(choice.model).train[1] is None:
        st.info(words.NO_LABELS)
        return
    here = work.visit()
    if here.busy and not retrainings.at_work(choice):
        here.stop()  # it works for another state; what came is kept there
    cells = frame.Cells(choice, "Let the rest learn again")
    done = {name: run for name in choice.methods if (run := retrainings.tuned(choice, name)) is not None}
    names = [name for name in choice.methods if name in done] or [choice.lens[1]]
    with cells.cell("retrain", "Retrain the pruned network", words.START, snippets_fine_tune.tuned(choice, names)):
        controls(choice)
        start(choice)
        tuning_progress(choice)
    if any(run.epochs for run in done.values()):
        with cells.cell("charts", "Epoch by epoch", words.CHARTS):
            show_charts(choice, done)
        show_words(cells, choice, done)
    if (run := done.get(choice.lens[1])) is not None and run.best is not None:
        with cells.cell("keep", f"The best network of {titled(choice.lens[1])}", words.KEEP):
            show_best(choice, run)
    with cells.cell("rounds", "Prune and retrain in rounds", words.ROUNDS, snippets_fine_tune.rounds(choice)):
        show_rounds(choice)
    cells.offer()


def controls(choice: Choice) -> None:
    """The method under the lens and the settings of the training."""
    state["w_method_shown"], state["w_eps"] = choice.lens[1], choice.eps
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.segmented_control(
            "Method", choice.methods, format_func=titled, required=True, key="w_method_shown",
            on_change=frame.picked, args=("method_shown",), help="Whose pruned network is retrained.",
        )  # fmt: skip
        st.number_input(
            "Epsilon", *EPSILON_RANGE, step=0.01, format="%g", key="w_eps", on_change=frame.typed_epsilon, width=150,
            help="How far each layer's response may move, relative to its size: more tolerance, more zeros.",
        )  # fmt: skip
    if not frame.shown(choice, "options"):
        return
    columns = st.columns(4)
    for place, name in zip(columns, MAIN, strict=True):
        setting(place, choice, name)
    with st.expander("More settings of the training", key="more"):
        columns = st.columns(4, vertical_alignment="bottom")
        for place, name in zip(columns, MORE, strict=True):
            setting(place, choice, name)


def setting(place: Any, choice: Choice, name: str) -> None:
    frame.setting_widget(place, name, setting_fields()[name], choice.value(name), words.LABELS[name])


def start(choice: Choice) -> None:
    """Nothing starts by itself: one button for the method under the lens, one for all that are not done."""
    busy, method = work.visit().busy, choice.lens[1]
    left = [name for name in choice.methods if (run := retrainings.tuned(choice, name)) is None or not run.ended]
    done = "Done with these settings: change one to retrain anew."
    with st.container(horizontal=True, gap="small"):
        st.button(
            f"Retrain {titled(method)}", key="start", type="primary", on_click=retrainings.start_tuning,
            args=(choice, [method]), disabled=busy or method not in left,
            help="Prune at this epsilon and retrain with these settings." if method in left else done,
        )  # fmt: skip
        if len(choice.methods) > 1:
            st.button(
                "Retrain all chosen methods in turn", key="start_all", on_click=retrainings.start_tuning,
                args=(choice, left), disabled=busy or not left,
                help="All that are not done yet, with the same settings, on the same charts." if left else done,
            )  # fmt: skip


def tuning_progress(choice: Choice) -> None:
    if retrainings.at_work(choice) != "tune":
        return
    here = work.visit()
    job = here.job(here.key)
    assert job is not None
    names = [name for name, _ in job.request["methods"]]
    steps = {name: retrainings.tuned(choice, name) or Retraining() for name in names}
    left = [name for name in names if not steps[name].ended]
    if left:
        doing = words.doing(titled(left[0]), steps[left[0]], choice.of("train").epochs)
        progress(choice, list(steps.values()), doing, lambda: retrainings.start_tuning(choice, left))


def rounds_progress(choice: Choice) -> None:
    held = retrainings.rounded(choice)
    now = next((number for number, run in enumerate(held, 1) if not run.ended), None)
    if retrainings.at_work(choice) == "rounds" and now is not None:
        title = f"{titled(choice.lens[1])}, round {now} of {len(held)}"
        doing = words.doing(title, held[now - 1], choice.of("train").epochs)
        progress(choice, held, doing, lambda: retrainings.start_rounds(choice))


def progress(choice: Choice, held: list[Retraining], doing: str, again: Callable[[], None]) -> None:
    """How far these retrainings are together, epoch by epoch. To go on after a stop is to begin anew: the start button
    does that."""
    here, epochs = work.visit(), choice.of("train").epochs
    if here.key in here.stopped:
        st.markdown("Stopped. The epochs that came are shown, and the best of them is kept.")
        return
    done = sum(1.0 if run.ended else max(len(run.epochs) - 1, 0) / epochs for run in held)
    work.show_progress(here.key, doing, again, done / len(held))


def show_charts(choice: Choice, done: dict[str, Retraining]) -> None:
    there = {name: run for name, run in done.items() if run.epochs}
    reports = {name: run.report for name, run in there.items() if run.report is not None}
    curves = [
        figures.Curve(name, titled(name), run.epochs, run.best and run.best.epoch, reports[name].accuracy)
        for name, run in there.items()
    ]
    dense = next(iter(reports.values())).accuracy_before
    epochs, dark = choice.of("train").epochs, frame.dark()
    left, right = st.columns(2, gap="medium")
    with left:
        frame.chart(figures.accuracies(curves, dense, epochs, dark), "accuracies", words.accuracy_alt(there))
    with right:
        frame.chart(figures.losses(curves, epochs, dark), "losses", words.loss_alt(there))


def show_words(cells: frame.Cells, choice: Choice, done: dict[str, Retraining]) -> None:
    lines = [words.story(name, run) for name, run in done.items()]
    text = "\n".join(f"- {line}" for line in lines) if len(lines) > 1 else lines[0]
    with cells.cell("story", "In words", f"{words.STORY}\n\n{text}"):
        for trouble in dict.fromkeys(filter(None, (words.trouble(run) for run in done.values()))):
            st.warning(trouble)


def show_best(choice: Choice, run: Retraining) -> None:
    """What is kept, what it is worth on the test samples, and the file."""
    best, report = run.best, run.report
    assert best is not None
    if report is not None:
        st.markdown(
            words.best(best, report.test_samples, run.ended) + " " + words.ending(run, choice.of("train").epochs)
        )
        st.markdown(words.zeros(report, best))
    if run.test is not None:
        st.markdown(words.test(run.test))
    here = work.visit()
    errand = here.errands.get(retrainings.judge_key(best))
    if errand is not None and errand.job.error:
        st.error(f"The test samples could not be judged: {errand.job.error}. Try again.")
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Weights (model.safetensors)", best.weights, file_name(choice, f"eps{choice.eps:g}-retrained"),
            "application/octet-stream", key="weights", on_click="ignore", type="primary",
            help="Every parameter of the network by its name, for load_state_dict with strict=True.",
        )  # fmt: skip
        if run.test is None:
            st.button(
                "Measure on the test samples", key="judge", on_click=retrainings.start_judging, args=(choice, run),
                disabled=here.busy,
                help="At the end of a retraining this is done by itself. While one runs it would be stopped.",
            )  # fmt: skip


def show_rounds(choice: Choice) -> None:
    targets, held, name = choice.of("rounds").targets, retrainings.rounded(choice), choice.lens[1]
    columns = st.columns([1, 1, 2], vertical_alignment="bottom")
    setting(columns[0], choice, "rounds.number")
    setting(columns[1], choice, "rounds.zeros")
    ended = bool(held) and all(run.ended for run in held)
    columns[2].button(
        f"Prune and retrain {titled(name)} in rounds", key="start_rounds", on_click=retrainings.start_rounds,
        args=(choice,), disabled=work.visit().busy or ended,
        help="Done with these settings: change one to begin anew." if ended
        else "With the method under the lens and the settings of the training above.",
    )  # fmt: skip
    st.markdown(words.targets(targets))
    rounds_progress(choice)
    begun = [run for run in held if run.report is not None]
    if not begun:
        return
    show_saw(choice, begun)
    st.html(words.rounds_table(targets, held))
    st.markdown(words.rounds_story(name, held))
    with st.container(horizontal=True, gap="small"):
        for number, run in enumerate(held, 1):
            if (best := run.best) is not None:
                st.download_button(
                    f"Weights of round {number}", best.weights, file_name(choice, f"round{number}"),
                    "application/octet-stream", key=f"weights_{number}", on_click="ignore",
                    help=words.best(best, 0 if run.report is None else run.report.test_samples, run.ended),
                )  # fmt: skip


def show_saw(choice: Choice, begun: list[Retraining]) -> None:
    steps = []
    for run in begun:
        after = run.best and run.best.epoch.validation_accuracy
        if run.report is not None:
            steps.append((run.report.sparsity, run.report.accuracy, after))
    dense = begun[0].report.accuracy_before if begun[0].report is not None else None
    if dense is not None:
        alt = words.rounds_story(choice.lens[1], retrainings.rounded(choice))
        frame.chart(figures.rounds(choice.lens[1], dense, steps, frame.dark()), "saw", f"Accuracy over zeros. {alt}")


def file_name(choice: Choice, what: str) -> str:
    return f"{choice.model}-{choice.lens[1]}-{what}.safetensors"


main()
