"""Weighted English words and sentence patterns, from which `text` makes up scene captions.

They are plain vocabulary, grouped by the slot that a word fills, and no corpus: no sentence comes from a data
set. A slot has tiers `(weight, words)`; a word of weight 6 is drawn twice as often as one of weight 3, and so
is likelier to become a single token. Which words are here, and with which weights, decides the characters per token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Tiers = tuple[tuple[int, str], ...]

DETERMINERS: Final[Tiers] = (
    (60, "the"),
    (24, "a"),
    (4, "its her an his their"),
    (2, "no each another this that one two three both multiple all any"),
    (1, "several every some four five many few other"),
)

PREPOSITIONS: Final[Tiers] = (
    (20, "of with in"),
    (10, "on from to at"),
    (4, "by into across toward through between near above behind for over as without than"),
    (2, "along around against beneath beside within under like rather onto"),
    (
        1,
        "below inside outside during after before off down up past until among upon throughout while about "
        "via despite per",
    ),
)

ADVERBS: Final[Tiers] = (
    (6, "slightly smoothly visibly slowly gently directly naturally clearly away together"),
    (
        3,
        "softly evenly steadily gradually fully partially forward backward upward downward outward back "
        "briefly mostly approximately nearly completely progressively precisely poorly still then also not "
        "too out more while just",
    ),
    (
        1,
        "carefully sharply subtly firmly quickly consistently inward again once now here there only very "
        "less almost about roughly properly improperly correctly suddenly constantly continuously "
        "simultaneously initially finally eventually immediately occasionally randomly abruptly rapidly "
        "lightly tightly loosely neatly quietly faintly vertically horizontally diagonally straight "
        "sideways apart overhead nearby close ahead counter-clockwise clockwise well later securely "
        "delicately rhythmically repeatedly freely highly deeply even simply entirely perfectly physically "
        "visually digitally spatially spontaneously noticeably extremely seamlessly fluidly violently "
        "awkwardly uniformly instead otherwise",
    ),
)

COLORS: Final[Tiers] = (
    (12, "white black dark light"),
    (6, "gray blue red green warm"),
    (3, "silver yellow brown orange neutral golden cool bright"),
    (
        1,
        "grey pale beige deep cream pink purple tan gold amber navy teal blonde bronze copper ivory "
        "charcoal maroon crimson turquoise sapphire off-white brownish reddish bluish monochrome "
        "multicolored",
    ),
)

ADJECTIVES: Final[Tiers] = (
    (16, "visible clean smooth large small natural soft subtle right left"),
    (
        8,
        "clear sharp wide low high flat modern metallic wooden metal glass static steady shallow medium "
        "industrial mechanical robotic realistic single full long short open inconsistent unnatural central "
        "spatial physical warm gentle",
    ),
    (
        4,
        "even round thin thick tall upper lower main primary secondary front rear top bottom outer inner "
        "upright slow fast quiet ambient diffused overhead indoor outdoor urban empty broad deep heavy "
        "vertical horizontal diagonal circular rectangular square curved straight parallel symmetrical "
        "balanced young adult female male old human humanoid plastic rubber ceramic fabric leather concrete "
        "stainless polished matte glossy textured transparent cinematic dynamic continuous final initial "
        "consistent temporal visual digital electric artificial blurry distorted broken random abrupt "
        "awkward impossible distant close same different other whole entire first second third next last "
        "multiple precise focused extended kitchen facial computer-generated low-quality eye-level "
        "wide-angle close-up live-action brushed flickering",
    ),
    (
        2,
        "calm controlled relaxed confident dramatic futuristic minimalist professional domestic athletic "
        "casual photorealistic documentary animated handheld fixed moving rotating rigid stiff fluid dirty "
        "reflective translucent rough fine harsh muddy hazy detailed plain typical standard complex strong "
        "intense vivid vibrant saturated muted rich uniform uneven centered tight compact scattered aligned "
        "opposite angled bent slender sleek striped identical separate individual various constant sudden "
        "seamless rhythmic excessive missing extra malformed poor real overall specular volumetric "
        "unrealistic incoherent disconnected jerky jarring uncanny frozen unstable coherent articulated "
        "elevated exposed mid-air three-quarter well-lit sunlit two-finger",
    ),
    (
        1,
        "careful neutral serious friendly curious energetic playful peaceful mysterious elegant residential "
        "commercial technical scientific formal traditional contemporary aerial panoramic stationary "
        "flexible solid liquid wet dry damp dusty rusty shiny opaque coarse grainy granular foggy cloudy "
        "sunny rainy snowy windy stormy icy hot cold cozy fresh ripe sweet raw simple intricate ordinary "
        "common rare unique special key major minor slight weak powerful faint dim pastel contrasting "
        "complementary irregular asymmetrical asymmetric off-center loose spacious crowded sparse dense "
        "layered stacked adjacent perpendicular frontal lateral oblique tilted slim sturdy muscular lean "
        "petite middle-aged elderly bearded bald curly braided shoulder-length sleeveless long-sleeved "
        "fitted oversized patterned floral checkered printed embroidered decorative ornate vintage antique "
        "rustic matching similar distinct numerous occasional gradual repetitive cyclical high-contrast "
        "low-angle backlit shadowed illuminated implausible duplicate deformed incorrect improper "
        "inappropriate bad good great better best true false virtual unclear ready able active passive safe "
        "dangerous important useful available possible likely necessary current previous following original "
        "actual general specific total average maximum minimum pneumatic hydraulic electronic magnetic "
        "optical thermal acoustic musical vocal sonic muffled loud crisp audible low-pitched high-pitched "
        "resonant multi-lane four-way narrow busy rural new noisy strange nearby sterile cluttered elastic "
        "rotational angular",
    ),
)

NOUNS: Final[Tiers] = (
    (20, "frame camera robot arm light scene background surface motion subject"),
    (
        10,
        "gripper shot color video hand shadow side edge floor wall table object movement texture detail "
        "focus view angle lighting window plate water center face joint foreground pattern hair shape tone "
        "environment position skin",
    ),
    (
        6,
        "image head body room base element second time person man woman vehicle road street car box cup "
        "glass bowl bottle jar counter countertop kitchen chair tool finger wrist elbow shoulder leg foot "
        "chest back eye clothing fabric material wood steel composition depth field lens contrast highlight "
        "reflection exposure resolution quality noise blur compression sound audio music voice track "
        "perspective proportion space distance direction speed pace sequence transition segment action pose "
        "expression contact line area end sky studio robotics source change energy weight step",
    ),
    (
        3,
        "people child truck driver traffic lane wheel door sink shelf cabinet ceiling lamp desk paper book "
        "knee torso neck mouth shirt jacket jeans shoe metal plastic rubber ceramic concrete distortion "
        "rendering ambience effect structure moment gesture posture process task point part corner top "
        "bottom middle left right workshop warehouse factory building city house home garage station "
        "platform park forest mountain river ocean snow rain fog cloud sun sunlight daylight evening "
        "morning tree grass leaf flower plant rock stone sand dust smoke droplet splash wave ripple dog cat "
        "bicycle bus pedestrian cyclist sidewalk crosswalk intersection bridge sign signal pole panel board "
        "screen display button cable motor sensor battery engine machine conveyor belt bin basket tray rack "
        "drawer handle lid sponge towel cloth mannequin dish rim tile seam stain fold crack mark spot row "
        "stack palette silhouette outline bokeh footage cut duration pixel animation interpolation geometry "
        "physics coherence consistency occlusion stability rotation precision grip grasp placement "
        "alignment orientation configuration layout style mood atmosphere rhythm beat dialogue narrative "
        "context setting condition relationship interaction demonstration performance simulation dance "
        "teeth limb softbox tripod speaker scale frame-rate illumination visibility momentum gravity state "
        "scheme model",
    ),
    (
        1,
        "fluid office laboratory hallway bedroom bathroom living dining stage garden lake beach desert "
        "sunset night soil dirt fire steam ice stream puddle flow horse bird fish animal van motorcycle "
        "highway tunnel curb barrier fence gate roof column staircase stair railing brick monitor switch "
        "wire servo actuator controller pallet container knob hinge bolt screw rod pipe tube hose tank "
        "valve gear bearing chain spring humanoid assistant operator worker engineer technician chef dancer "
        "player athlete performer musician customer passenger crowd team group pair couple family friend "
        "boy girl adult hat helmet glove mask goggles vest apron uniform dress skirt suit tie coat sweater "
        "hoodie shorts trousers pants leggings boots sneakers sleeve collar pocket zipper watch necklace "
        "ring earring bag backpack purse umbrella beard ponytail makeup cheek cheekbone jaw forehead "
        "eyebrow lip nose ear tooth palm thumb fist hip waist ankle heel toe muscle bone soap brush broom "
        "mop bucket spoon fork knife pan pot kettle oven stove refrigerator microwave blender toaster mug "
        "pitcher napkin tablecloth placemat utensil candle vase mirror curtain carpet rug cushion pillow "
        "blanket sofa couch bed bench stool clock painting poster photograph microphone laptop keyboard "
        "phone tablet pen pencil marker notebook card label logo text letter word number symbol title "
        "caption signage apple banana lemon tomato potato carrot onion lettuce bread cheese egg meat "
        "chicken rice pasta soup sauce salt sugar oil butter milk juice coffee tea wine cake cookie "
        "chocolate fruit vegetable herb food meal snack breakfast lunch dinner ingredient recipe cutting "
        "toy block cube ball puzzle doll cylinder sphere cone pyramid rectangle triangle circle grid pile "
        "stripe scratch hole gap pleat wrinkle layer coating finish grain sheen gloss gradient hue shade "
        "saturation brightness intensity glow beam flare halo contour boundary horizon skyline landscape "
        "scenery architecture interior exterior facade entrance exit corridor aisle lobby store shop market "
        "restaurant cafe hospital school library museum theater gym stadium court pool hangar dock port "
        "airport runway airplane aircraft drone helicopter rocket spacecraft satellite boat ship train rail "
        "tram taxi forklift crane excavator tractor trailer cart wagon windshield dashboard hood bumper "
        "headlight taillight tire license seat steering pedal brake median asphalt pavement gravel parking "
        "lot roundabout ramp driveway limit pothole end-effector manipulator link axis translation "
        "trajectory path velocity acceleration force torque pressure friction mass balance inertia impact "
        "collision bounce lift drop arrangement design emotion feeling tension tempo melody harmony note "
        "instrument guitar piano drum violin song footstep echo hum whir buzz click clatter clink beep "
        "rustle whoosh thud drip breeze wind thunder chatter narration silence tracking zoom tilt dolly "
        "push-in medium-wide telephoto aperture shutter clip fade dissolve montage interval grading "
        "bleeding banding aliasing flicker jitter ghosting smearing tearing popping glitch error defect "
        "flaw mistake inconsistency discontinuity continuity realism fidelity anatomy size width height "
        "length volume temperature level degree amount percent ratio rate range value type kind form "
        "version method system result difference connection combination collection sense status location "
        "place region zone section portion piece item product package equipment device accessory attachment "
        "component mechanism presentation experiment test training exercise practice routine rehearsal "
        "competition game sport match race event ceremony celebration party travel journey trip story "
        "character role viewer audience attention interest purpose goal plan idea example reason question "
        "answer problem solution history culture nature science technology art fashion business industry "
        "service community country world life day week month year hour minute today past future start "
        "beginning appearance presence absence transparency logic advertisement showcase film movie "
        "photography photo picture illustration cartoon sketch drawing graphics fill backdrop satin silk "
        "cotton linen wool velvet denim chrome aluminum iron brass granite marble residue suds foam powder "
        "grease paint ink glue tape rope string ribbon thread pin needle garment slideshow hallmark "
        "illusion stabilization encoding motivation",
    ),
)

PLURALS: Final[Tiers] = (
    (
        6,
        "subjects objects textures shadows elements artifacts frames hands arms edges positions surfaces fingers",
    ),
    (
        3,
        "colors details movements motions lights features joints legs tones shapes tiles cables walls "
        "windows highlights reflections lines seconds eyes limbs patterns proportions people shoes panels "
        "materials vehicles cars transitions poses angles faces buildings trees bowls grippers expressions "
        "relationships others accents changes clothes",
    ),
    (
        1,
        "plates cups boxes bottles shelves counters robots workers pedestrians trucks lanes signs markings "
        "lamps wheels doors chairs tables tools parts pieces layers folds wrinkles stains particles "
        "droplets bubbles ripples leaves flowers clouds mountains waves rocks sounds voices footsteps notes "
        "effects gestures curtains cushions cabinets drawers racks papers books letters words numbers logos "
        "shots cuts errors glitches distortions variations levels values conditions seams bolts screws "
        "wires sensors motors servos buttons screens segments hues shades stripes dots spots outlines "
        "contours boundaries corners sides ends rows columns stacks groups things pixels pictures shoulders "
        "elbows wrists knees ankles feet hips sleeves gloves glasses cameras characters sources directions "
        "orientations inconsistencies discontinuities surroundings utensils garments degrees regions "
        "profiles collisions dynamics adjustments settings",
    ),
)

VERBS: Final[Tiers] = (
    (10, "appear move rotate lift create place remain extend lower position"),
    (
        5,
        "turn reveal change show rest open press pull push wipe pour fill clean cover capture look shift "
        "step blend continue maintain reach face frame reflect return",
    ),
    (
        2,
        "close pick touch point walk start finish follow cross enter approach pass stop drop carry support "
        "blur transition transform adjust align balance interact perform complete mount attach connect grip "
        "tilt pivot pause flicker shimmer fold drape arrange display exhibit provide establish highlight "
        "diffuse define repeat",
    ),
    (
        1,
        "grasp release stretch twist roll bounce float drift hover descend climb jump land kick tap wave "
        "nod smile gaze glance watch observe inspect examine check measure sort stack load unload assemble "
        "pack wrap stir mix chop slice peel cook bake boil serve taste wash rinse scrub dry polish paint "
        "decorate present demonstrate practice play dance wait hesitate travel accelerate brake merge "
        "navigate park steer signal overtake brush trace trail track zoom pan focus emphasize illuminate "
        "glow glint fade dim soften sharpen saturate contrast complement match echo sound hum whir click "
        "buzz rustle resonate vibrate crackle settle drain drip splash ripple swirl pool spill scatter "
        "gather collect remove replace insert raise secure lock unlock fasten clamp pinch squeeze crush "
        "crack dissolve evaporate expand contract inflate emerge disappear vanish arrive depart occupy "
        "surround contain include involve require suggest indicate resemble represent detail describe "
        "depict convey evoke offer allow enable prevent avoid reduce increase improve distort deform warp "
        "smear overlap intersect clip jitter alternate vary progress evolve develop conclude introduce "
        "anchor center crouch kneel lean sway gesture relax tense breathe talk laugh listen record operate "
        "use work help need seem plan generate render violate lack mark dress style shape texture curve "
        "angle line stain crop scale time note name call ask answer add apply combine distribute morph "
        "degrade fluctuate teleport launch execute cascade recede showcase intend supplement receive "
        "compose absorb encode",
    ),
)

IRREGULAR: Final[Tiers] = (
    (6, "is are holding standing seen held set have"),
    (
        3,
        "holds stands sits runs keeps brings begins leads draws drawn sitting taking making bringing "
        "wearing worn featuring including lit built bent has been made swinging being be broken",
    ),
    (
        1,
        "was were having had can will may should do does did goes going gone comes coming came sees seeing "
        "gets getting puts putting cuts cutting throws throwing thrown catches catching hits hitting lies "
        "lying rises rising shot feels feeling felt finds found lets meets meeting told said says known "
        "grown flown written driven chosen frozen hidden taken takes gives given makes fallen laid left "
        "lost sent spent bound wound wrought spinning winding bleeding feeding reading writing driving "
        "riding flying swimming sleeping eating drinking hung stuck dug slid split spread shut hurt blown "
        "woven rests becomes become breaks breaking beginning leading drawing shown running sticking "
        "keeping swing swings spin spins sweep sweeps sweeping swept draw bend bends bending cast casts "
        "casting slide slides sliding speak speaks speaking shine shines shining leave leaves leaving",
    ),
)

CONNECTIVES: Final[Tiers] = (
    (12, "and"),
    (3, "or as while with"),
    (1, "but then so that which where when because if before after until whose"),
)

OPENERS: Final[Tiers] = (
    (16, "the"),
    (8, "a"),
    (2, "soft bright subtle medium wide large sharp natural slow static small warm clean in"),
    (
        1,
        "as center behind no an two it she he they at by from with there this each three neutral shallow "
        "deep primary main modern slight smooth dark light high low extended standing sitting facing "
        "holding moving positioned eye-level object objects arm camera subject subjects robot hand young "
        "female male realistic photorealistic cinematic inconsistent unnatural distorted poor over "
        "initially finally around on video surface background colors textures shadows multiple calm gray "
        "white black gentle upper lower left right top bottom full even faint continuous gradually then "
        "visual movement clothing motion color edges lighting",
    ),
)

PATTERNS: Final[Mapping[str, Tiers]] = {
    "sentence": (
        (6, "{Opener} {adj} {noun} {vp}{tail}."),
        (3, "{Opener} {noun} {vp}{tail}."),
        (2, "{Opener} {noun} {vp}{tail}, {conn} {np} {vp}."),
        (1, "{Prep} {np}, {np} {vp}."),
    ),
    "prose": ((4, "{sentence}"), (4, "{sentence} {sentence}"), (2, "{sentence} {prose}"), (2, "{phrase}")),
    "paragraph": ((1, "{sentence} {sentence} {prose} {prose}"), (1, "{sentence} {paragraph}")),
    "phrase": (
        (2, "{Opener} {noun} {prep} {np}"),
        (2, "{Adj} {noun} {prep} {np}"),
        (2, "{Ving} {np} {prep} {np}"),
        (1, "{Adj} {plural} {prep} {np}, {adj} {plural}"),
        (1, "{Opener} {adj} {noun}, {ving} {np}"),
        (1, "{Irregular} {adv} {prep} {np}, {noun} {ved}"),
    ),
    "mood": ((1, "{Adj}, {adj}, {adj}, {adj}"), (1, "{Adj} {noun}"), (1, "{Adv} {adj}, {adj}")),
    "maybe": ((2, ""), (1, "{phrase}")),
    "short": (
        (2, "{Opener} {noun}"),
        (1, "{Adj}"),
        (1, "{Noun} {prep} {noun}"),
        (1, "{Opener} {prep} {noun}"),
    ),
    "np": (
        (5, "{det} {noun}"),
        (5, "{det} {adj} {noun}"),
        (4, "{noun}"),
        (4, "{plural}"),
        (3, "{adj} {plural}"),
        (1, "{adj}, {adj} {plural}"),
        (1, "{color} and {color} {plural}"),
        (1, "{det} {noun}'s {noun}"),
        (1, "{det} {noun} of {det} {noun}"),
        (1, "{noun} and {noun}"),
        (1, "{det} {adj} {noun} {noun}"),
        (1, "{det} {plural}"),
        (1, "{noun}-{ved} {noun}"),
    ),
    "vp": (
        (4, "{irregular} {prep} {np}"),
        (3, "{vs} {np}"),
        (3, "{vs} {prep} {np}"),
        (2, "{ved} {prep} {np}"),
        (2, "{ving} {prep} {np}"),
        (1, "{adv} {vs} {np}"),
        (1, "{verb} {adv}"),
    ),
    "tail": (
        (6, ""),
        (4, ", {ving} {np}"),
        (4, ", {adv} {ving} {np}"),
        (3, ", with {np}"),
        (3, " {prep} {np}"),
        (3, ", {conn} {np}"),
        (1, " {adv}"),
        (1, " that {verb} {np}"),
        (1, "; {np} {vp}"),
        (1, " — {np}"),
    ),
    "clock": ((2, "0:0{digit}-0:{digit}{digit}"), (1, "{digit}:{digit}{digit}-{digit}:{digit}{digit}")),
}
