"""Words of the demo corpus: questions, causes and measures, by manoeuvre and by who is hit."""

import random

from annotations.corpora.demo.scenarios import CUT_IN, ONCOMING, REAR_END, STEP_OUT, Role

KINDS = (
    "crash_recognition",
    "crash_description",
    "causal_reasoning",
    "prevention_reasoning",
    "crash_localization",
    "pre_crash_localization",
)

NEGATIVE_TEXTS = {
    "crash_description": "no collision.",
    "causal_reasoning": "No accident, no cause.",
    "prevention_reasoning": "No accident, no prevention needed.",
}

QUESTIONS = {
    "crash_recognition": (
        "Watch the whole clip. Is anybody or anything hit in it? Reply with a single word: Yes or No."
    ),
    "crash_description": (
        "Put the crash in this clip into one short sentence of the form [subject] [verb] [object]; the filming "
        "vehicle is called ego-car. If nothing is hit, reply exactly: 'no collision.'"
    ),
    "causal_reasoning": (
        "What most likely led to the crash in this clip? One short sentence. If nothing is hit, reply exactly: "
        "'No accident, no cause.'"
    ),
    "prevention_reasoning": (
        "What should the road users in this clip have done so that the crash would not have happened? Reply in full "
        "sentences. If nothing is hit, reply exactly: 'No accident, no prevention needed.'"
    ),
    "crash_localization": (
        "From the first touch until everybody involved stands still: when does the crash in this clip take place? "
        "Reply in the form 'start - end seconds', for example '2.4 - 3.8 seconds'."
    ),
    "pre_crash_localization": (
        "At what time does somebody in this clip first do what leads to the crash? Reply in the form "
        "'time seconds', for example '1.7 seconds'."
    ),
}

_CAUSES: dict[tuple[str, bool], tuple[str, ...]] = {
    (REAR_END, False): (
        "The vehicle behind follows too closely to stop when the one ahead brakes hard.",
        "The driver behind reacts too late to the brake lights ahead.",
        "Braking without need in moving traffic surprises the driver behind, who keeps no safe gap.",
    ),
    (STEP_OUT, True): (
        "Somebody leaves the roadside without looking and enters the path of an approaching vehicle.",
        "The driver does not slow down although somebody at the roadside is about to cross.",
        "A road user crosses right in front of a vehicle that can no longer stop.",
    ),
    (STEP_OUT, False): (
        "A vehicle waiting at the side pulls out without giving way to traffic on the main road.",
        "The driver pulling out misjudges the speed of the approaching vehicle.",
        "The approaching driver does not allow for a vehicle that may pull out.",
    ),
    (CUT_IN, True): (
        "The cyclist swerves into the lane without looking over the shoulder.",
        "The driver passes the cyclist fast and without enough room to the side.",
        "The cyclist leaves the edge of the road without a signal while a faster vehicle comes up.",
    ),
    (CUT_IN, False): (
        "A slower vehicle changes lanes without checking the blind spot.",
        "The lane change leaves the following vehicle no room to slow down.",
        "The driver changes lanes without signalling, right before a faster vehicle.",
    ),
    (ONCOMING, False): (
        "The driver drifts across the centre line into oncoming traffic.",
        "The driver loses control of the steering and leaves the own lane.",
        "Overtaking starts although a vehicle is coming the other way.",
    ),
}

_MEASURES: dict[tuple[str, bool], tuple[str, ...]] = {
    (REAR_END, False): (
        "Drivers should keep at least two seconds behind the vehicle ahead and watch the traffic beyond it.",
        "Whoever has to slow down should brake early and evenly, so that those behind are warned.",
        "An emergency braking system should be switched on and kept in working order.",
        "Eyes belong on the road: brake lights ahead call for lifting the foot at once.",
    ),
    (STEP_OUT, True): (
        "People who want to cross should stop at the edge, look both ways and wait for a gap.",
        "Drivers should slow down and cover the brake when somebody stands at the roadside.",
        "A marked crossing with lighting would make both sides see each other in time.",
        "Walking or riding into the road at speed should be avoided, since no vehicle stops on the spot.",
    ),
    (STEP_OUT, False): (
        "Drivers joining a main road should stop, look twice and let everybody on it pass first.",
        "Drivers on the main road should reduce speed where side roads or driveways join.",
        "Mirrors or cut hedges at the junction would improve the view for those pulling out.",
        "When in doubt about the speed of approaching traffic, the driver should go on waiting.",
    ),
    (CUT_IN, True): (
        "Cyclists should look back and signal with the arm before they leave the edge of the road.",
        "Drivers should overtake cyclists slowly and with at least one and a half metres to the side.",
        "A separate cycle lane would keep slower and faster traffic apart.",
        "Both should expect obstacles at the edge that make a cyclist swing out.",
    ),
    (CUT_IN, False): (
        "Before changing lanes drivers should signal, use the mirrors and look over the shoulder.",
        "Lanes should be changed only at the speed of the traffic in the other lane.",
        "Drivers who see a vehicle drift towards their lane should ease off and make room.",
        "A blind-spot warning would have shown the vehicle coming up from behind.",
    ),
    (ONCOMING, False): (
        "Drivers should stay in their lane and overtake only when the road ahead is free and visible.",
        "A tired or distracted driver should take a break before the vehicle begins to drift.",
        "Rumble strips on the centre line would wake a driver who leaves the lane.",
        "Oncoming drivers should brake and keep to the right edge when somebody comes towards them.",
    ),
}


def description(role: Role) -> str:
    """Subject, verb, object: "car hits a pedestrian." """
    return f"{'ego-car' if role.ego else role.subject} hits a {role.object}."


def cause(role: Role, rng: random.Random) -> str:
    """One sentence on why it happened."""
    return rng.choice(_CAUSES[_key(role)])


def causes_for(role: Role) -> tuple[str, ...]:
    """Every sentence that `cause` may give."""
    return _CAUSES[_key(role)]


def texts() -> list[str]:
    """Every sentence that the corpus can say, each once."""
    tables = (_CAUSES, _MEASURES)
    said = {text: None for table in tables for texts in table.values() for text in texts}
    return [*NEGATIVE_TEXTS.values(), *QUESTIONS.values(), *said]


def prevention(role: Role, rng: random.Random) -> str:
    """Two or three sentences on what would have helped."""
    return " ".join(rng.sample(_MEASURES[_key(role)], k=rng.choice([2, 2, 3])))


def seconds(us: int) -> str:
    """Microseconds as seconds without loss: at least one decimal, as many as needed, at most six."""
    whole, rest = divmod(us, 1_000_000)
    return f"{whole}.{(f'{rest:06d}'.rstrip('0') or '0')}"


def _key(role: Role) -> tuple[str, bool]:
    unprotected = role.object in ("pedestrian", "cyclist") and role.manoeuvre in (STEP_OUT, CUT_IN)
    return role.manoeuvre, unprotected
