"""The public data sets Sightline knows: what they are, their licences, where their originals are."""

from __future__ import annotations

from dataclasses import dataclass

_RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class DataFile:
    """One file: its name in the set, SHA-256 of its content once unpacked, and its public address where it has one."""

    name: str
    sha256: str
    address: str | None = None


@dataclass(frozen=True)
class DataSet:
    """One set: `licence` is what its publishers state; `homepage` tells where its originals come from."""

    name: str
    title: str
    task: str
    licence: str
    homepage: str
    files: tuple[DataFile, ...]


def _set(
    name: str,
    title: str,
    task: str,
    licence: str,
    homepage: str,
    files: dict[str, tuple[str, str | None]],
    base: str = "",
) -> DataSet:
    return DataSet(
        name,
        title,
        task,
        licence,
        homepage,
        tuple(DataFile(file, sha, f"{_RAW}/{base}/{path}" if path else None) for file, (sha, path) in files.items()),
    )


_ALL = (
    _set(
        "multi30k",
        "Image captions, English, German and French: 29,000 training, 1,014 validation, 1,000 test (2016).",
        "translation",
        "As stated: derived from Flickr30K, for non-commercial research and education; no licence file.",
        "https://github.com/multi30k/dataset",
        {
            "test_2016_flickr.de": (
                "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16",
                "test_2016_flickr.de.gz",
            ),
            "test_2016_flickr.en": (
                "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
                "test_2016_flickr.en.gz",
            ),
            "test_2016_flickr.fr": (
                "cb3160d69b002bb638e66cc7612fcd56cb0af82eadc9c142dedc438afb885ef6",
                "test_2016_flickr.fr.gz",
            ),
            "train.de.gz": ("2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72", "train.de.gz"),
            "train.en.gz": ("460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6", "train.en.gz"),
            "train.fr.gz": ("5925a3c18f1587b6b54b87743106e6e8ab93618edb6f65d19eac0621f853a10d", "train.fr.gz"),
            "val.de": ("660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660", "val.de.gz"),
            "val.en": ("1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227", "val.en.gz"),
            "val.fr": ("5304e444d842e962b2dda4d816b70b22a1765b15401642b7ca37a67477e708dc", "val.fr.gz"),
        },
        "multi30k/dataset/a3d2e0d26b56f3846f66a952536ffed4e401d05a/data/task1/raw",
    ),
    _set(
        "ko-en-tatoeba",
        "Short everyday sentences, English and Korean with attribution (TSV): 3,152 training, 301 development.",
        "translation",
        "CC BY 2.0 France; the third column attributes every pair.",
        "https://github.com/jh868/pytorch_study",
        {
            "dev.tsv": ("f27060bc9b0d987e9e72585eebd5119ba76f3cc20076af0a1097a8b220916358", None),
            "train.tsv": ("99607436fc89b4347c7fb5b33dc4af63818add1ed6e6fd8de58faa7e3a0b33a6", None),
        },
    ),
    _set(
        "ko-en-pydocs",
        "Python 3.13 documentation in English and Korean, with markup: 26,620 training, 742 development.",
        "translation",
        "As stated in its files: the licence of the Python package (PSF).",
        "https://github.com/python/python-docs-ko",
        {
            "dev.en": ("fce042fb7aa78d3711bc7b0353c5ef1445c7f25c9fa2e111a8f0d890e9eff232", None),
            "dev.ko": ("dac4a6cb687172282f34faed97b1b45d6deb4db274cbb17b5f09f8898ec88875", None),
            "train.en.gz": ("3dde8a510b91fe7fa41291badc4e64c4be4c42cd58b20c5e43388775e80d4d5f", None),
            "train.ko.gz": ("26ed2b402ce9e0398bf3c9fde7c7a64a655cbee93ffb73236dee741be39db8d1", None),
        },
    ),
    _set(
        "ko-en-bible",
        "The Bible by verse, Korean (1961) and modern English: 29,794 training, 345 development.",
        "translation",
        "Korean: copyright stated as expired (name the Korean Bible Society); English: public domain.",
        "https://github.com/bluesaurel/Korean-Bible-1961-KRV",
        {
            "dev.en": ("c060a505e576aa6fcae9e59286842531d0a525f04b1ea8fac6493e82a5374919", None),
            "dev.ko": ("92e0f8377ad7823ad25c3bf3fd649f10101407625ca81e027279ae43d241133f", None),
            "dev.ref": ("d98e4c9a08d0a0e08dab10e046a2339b060c080af89609fecfeabde6cf7b4b7e", None),
            "train.en.gz": ("4f8e6182ec6cca0663bf9faf3447b2e6bbfb4eca8b6f7ba204d3f28231d0c5f6", None),
            "train.ko.gz": ("6921f9c2417f11abcaeb720e0e6215a4c08e36bdbf03e480467f64de52f8243e", None),
            "train.ref": ("714b0a931ab07a414546a7d1494598428bcb947120a16315934af0091fd15bd9", None),
        },
    ),
    _set(
        "ko-en-news",
        "News in Korean and English, for evaluation: JHE 720 development and 720 evaluation, Park 1,000 development.",
        "translation",
        "CC BY-SA 3.0.",
        "https://github.com/jungyeul/korean-parallel-corpora",
        {
            "jhe-koen-dev.en": ("ccf0c0ca7601b5cae37891ecf89c72c951ac162a20738ac894e3faf804c4c4af", "jhe-koen-dev.en"),
            "jhe-koen-dev.ko": ("2b02238c122aac40860aebfb191cfcdb46553e6b55b447f8188e04cabe00b828", "jhe-koen-dev.ko"),
            "jhe-koen-eval.en": (
                "dc4c0975092f3cfd5c60e3cea24e6b2a400e4373208cd9f3ed6b0cc44c01cc3b",
                "jhe-koen-eval.en",
            ),
            "jhe-koen-eval.ko": (
                "531b18d6640aaf63b86753c631c8ee6d7d23c10b9f9c56cb99c9da086417cb86",
                "jhe-koen-eval.ko",
            ),
            "korean-english-park.dev.en": ("98e0d1284685328701410f9656098d9939ca69ab262bf69a9e1a7f9d716ef1dc", None),
            "korean-english-park.dev.ko": ("248e0dd8e560db90ea7b51e4959a33d67a7bba48872429bc90f416ea8acbac44", None),
        },
        "jungyeul/korean-parallel-corpora/a1fb53dc5216f3a2d07d973456d8921ed23c88c6/korean-english-jhe",
    ),
    _set(
        "wikitext-2",
        "Wikipedia articles as running text, word level with <unk>: training and validation.",
        "language modelling",
        "CC BY-SA 3.0 (Wikipedia text).",
        "https://github.com/pytorch/examples",
        {
            "train.txt.gz": ("9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f", "train.txt"),
            "valid.txt.gz": ("f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8", "valid.txt"),
        },
        "pytorch/examples/97e3e13d3628b7016dc315ad64119663955c5075/word_language_model/data/wikitext-2",
    ),
    _set(
        "tinyshakespeare",
        "A million characters of Shakespeare in one file.",
        "language modelling",
        "Repository MIT; the text is in the public domain.",
        "https://github.com/karpathy/char-rnn",
        {
            "input.txt": ("86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed", "input.txt"),
        },
        "karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare",
    ),
    _set(
        "gutenberg",
        "The Adventures of Sherlock Holmes, with Project Gutenberg's header and footer.",
        "language modelling",
        "Project Gutenberg licence; public domain in the USA.",
        "https://github.com/GITenberg/The-Adventures-of-Sherlock-Holmes_1661",
        {
            "LICENSE-1661.txt": ("1e301e03fb28addf6ad03d42b1429e87679013d1ee7e141c7c968fbef0ad961d", "LICENSE"),
            "sherlock_1661.txt": ("2a0ce5568625a304f54fbb6bfdeeadf527a1437254b5f0e06b5a9e233d4784a2", "1661.txt"),
        },
        "GITenberg/The-Adventures-of-Sherlock-Holmes_1661/7e5dd2703fbf503c004063e96ab7c61262375e5f",
    ),
    _set(
        "nsmc",
        "Korean film reviews by sentiment: 150,000 drawn anew from the raw ones, 20,000 of the official test.",
        "classification",
        "CC0 1.0.",
        "https://github.com/e9t/nsmc",
        {
            "ratings_test_first20k.txt.gz": ("4396824d60a7b5db0f8d41734fa5fb7a9f5b1d2ebbcc27bd8e4c32bada1c9fbd", None),
            "train_rebuilt_150k.txt.gz": ("8b235cea3d08a5270483827cfd427c1e2d98bc24055263fc233ade7e339309d8", None),
        },
    ),
    _set(
        "sst2",
        "English phrases of film reviews labelled by sentiment: 67,349 training, 872 development.",
        "classification",
        "None stated for the data.",
        "https://github.com/awake020/pytorch_Bert_sst2",
        {
            "dev.tsv": ("84207e6be5873fb18db798cc6faec86871f5a426554650ff64a1c34e87665f6f", "dev.tsv"),
            "train.tsv.gz": ("e981ceb4fe6c9acd1c79851d0d091b9e78103f1f2a399ca83dda27915d41c56c", "train.tsv"),
        },
        "awake020/pytorch_Bert_sst2/ce2ab1719d32182e6233b24b2de246bd32814fde/SST-2",
    ),
    _set(
        "cola",
        "English sentences labelled as acceptable or not: 8,551 training, 527 development (CoLA 1.1, in domain).",
        "classification",
        "As stated: code MIT; sentences excerpted from published works, for research.",
        "https://github.com/nyu-mll/CoLA-baselines",
        {
            "in_domain_dev.tsv": (
                "77176f6a03faa5a1c4f23c69971fc1bff565931112fb65af47b2d6e24b7f42f7",
                "in_domain_dev.tsv",
            ),
            "in_domain_train.tsv": (
                "f320a10f92d3bce6b29152fde322a362eac39238e50d8de0c8815457fdf4fc12",
                "in_domain_train.tsv",
            ),
        },
        "nyu-mll/CoLA-baselines/dd095d3646ed05a315280aaa8ed4ec84ba435b3e/acceptability_corpus/cola_public/raw",
    ),
    _set(
        "klue-nli",
        "Korean premises and hypotheses with their relation: 2,001 pairs of KLUE's development set.",
        "pair classification",
        "CC BY-SA 4.0.",
        "https://github.com/KLUE-benchmark/KLUE",
        {
            "dev_part.json": ("21b9f8f9bf7bf18e4b004962cd4f27a075dcb3f01c0e097a2e579e813d6e9a2b", None),
        },
    ),
    _set(
        "kornli-xnli",
        "XNLI translated into Korean by people: 2,490 development, 5,010 test pairs.",
        "pair classification",
        "CC BY-SA 4.0.",
        "https://github.com/kakaobrain/KorNLUDatasets",
        {
            "xnli.dev.ko.tsv": ("821fb1c1c2e538ac2724a6132da36ffa379eb9a542ceb89243b3cf711377382c", "xnli.dev.ko.tsv"),
            "xnli.test.ko.tsv.gz": (
                "0db53cf8e182283a0d0404ec3fe1b15d1e29236d23d22082dc20d43067254b3e",
                "xnli.test.ko.tsv",
            ),
        },
        "kakaobrain/KorNLUDatasets/0df0fe7d496eb61b092e022e238c2230b29f1cbc/KorNLI",
    ),
    _set(
        "korsts",
        "Korean sentence pairs scored for similarity, 0 to 5: 5,749 training, 1,500 development.",
        "similarity",
        "CC BY-SA 4.0.",
        "https://github.com/kakaobrain/KorNLUDatasets",
        {
            "sts-dev.tsv": ("d835b65b424401fbcce6be28a78159df8d61f5b19977ea7a0b83b8cb6105f393", "sts-dev.tsv"),
            "sts-train.tsv.gz": ("b5aaa7f957d6ff46f4b6834a8b0f024a9234a6eefe9289aed66746b4533da3b8", "sts-train.tsv"),
        },
        "kakaobrain/KorNLUDatasets/0df0fe7d496eb61b092e022e238c2230b29f1cbc/KorSTS",
    ),
    _set(
        "klue-ner",
        "Korean sentences with entities tagged by character: 4,000 and 500 of KLUE's development set.",
        "tagging",
        "CC BY-SA 4.0.",
        "https://github.com/KLUE-benchmark/KLUE",
        {
            "dev_500.tsv": ("cbf910feab4fc3acaad662ba87858167648ef5110706f227b38f313506612768", None),
            "train_4000.tsv.gz": ("4859dee34c869f3e0fcdbb37b926862b43a6f3163396a4dce5c2e5db9d314578", None),
        },
    ),
    _set(
        "wnut17-ner",
        "English posts with emerging entities tagged by word: 3,394 training, 1,009 development.",
        "tagging",
        "CC BY 4.0.",
        "https://github.com/leondz/emerging_entities_17",
        {
            "emerging.dev.conll": (
                "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8",
                "emerging.dev.conll",
            ),
            "wnut17train.conll": (
                "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5",
                "wnut17train.conll",
            ),
        },
        "leondz/emerging_entities_17/e52a2d2a71ac1a051ca2d532eef28653c5c02603",
    ),
    _set(
        "mnist",
        "28 x 28 handwritten digits in IDX files: 60,000 training, the first 5,000 of the test set.",
        "image classification",
        "None stated for the data.",
        "https://github.com/taneishi/convnetjs",
        {
            "test-first5000-images-idx3-ubyte.gz": (
                "118ae22e5d4e94bb7f7335211629ca4da103e2b74481bd772edf32b2aff5970f",
                None,
            ),
            "test-first5000-labels-idx1-ubyte.gz": (
                "24f8aa7197fa0ee1ceb43e0809492febb35d3bdb1d1c31379ca14bd851f82ba7",
                None,
            ),
            "train-images-idx3-ubyte.gz": ("b61ffb6f513fd9ff8d89824731f6b4ed7863c759c33056d701efb8412469fb04", None),
            "train-labels-idx1-ubyte.gz": ("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", None),
        },
    ),
)

PUBLIC_SETS = {data_set.name: data_set for data_set in _ALL}
