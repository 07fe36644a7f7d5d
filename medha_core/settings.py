"""Settings: what can be tuned, with defaults, from arguments, environment or `.env`."""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Settings"]

_IDENTIFIER = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,62}")

BackendType = Literal[
    "native",
    "memory",
    "qdrant",
    "pgvector",
    "elasticsearch",
    "vectorchord",
    "chroma",
    "weaviate",
    "redis",
    "azure-search",
    "lancedb",
]
EmbedderType = Literal[
    "onnx",
    "hashing",
    "fastembed",
    "sentence-transformers",
    "openai",
    "openai-compatible",
    "cohere",
    "gemini",
    "mistral",
    "_noop",
]


class _Search(BaseSettings):
    """The waterfall: thresholds, tiers, filters."""

    query_language: Literal["sql", "cypher", "graphql", "generic"] = "generic"
    score_threshold_exact: float = Field(0.99, ge=0.90, le=1.0)
    score_threshold_semantic: float = Field(0.85, ge=0.0, le=1.0)
    score_threshold_guarded: float = Field(0.70, ge=0.0, le=1.0)
    """Cosine from which the semantic tier gives what the guard accepts; see `semantic_threshold`."""
    score_threshold_template: float = Field(0.70, ge=0.0, le=1.0)
    score_threshold_fuzzy: float = Field(85.0, ge=0.0, le=100.0)
    """On the scale of `rapidfuzz.fuzz.ratio`, 0..100."""
    score_threshold_fuzzy_prefilter: float = Field(0.65, ge=0.0, le=1.0)
    fuzzy_prefilter_top_k: int = Field(50, ge=1, le=1000)
    guard: Literal["strict", "balanced", "off"] = "balanced"
    """How sure the guard must be that two questions ask for the same thing; `off` trusts scores alone."""
    substitution: Literal["seen", "any", "off"] = "seen"
    """Whether a stored query may answer with other values: those seen in that column, any, or never."""
    learned_entries: int = Field(20_000, ge=0)
    """Entries of a scope that the guard learns values and wording from; they are read again at start."""
    max_error_rate: float | None = Field(None, gt=0.0, le=1.0)
    """Share of answers that may be wrong; raises the confidence the guard asks for, by calibration."""
    calibration_file: str | None = None
    """What `medha tune --out` wrote; None takes the package's own."""
    judge_from: float = Field(0.3, gt=0.0, le=1.0)
    """Confidence from which the judge, where one is given, is asked about a candidate, ..."""
    judge_to: float = Field(0.9, ge=0.0, le=1.0)
    """... and below which."""
    judge_timeout: float = Field(5.0, gt=0)
    """Seconds the judge may take; after them the candidate is refused."""
    metadata_filter_mode: Literal["strict", "soft"] = "strict"
    """`strict`: what does not match a filter answers nothing; `soft`: it answers with a lower score."""
    metadata_filter_soft_penalty: float = Field(0.5, ge=0.0, le=1.0)
    """What a score that does not match is multiplied with; it must still clear the tier's threshold."""
    metadata_filter_overfetch: int = Field(10, ge=1, le=100)
    """How many times more a store fetches that filters after its search; ours filter inside it."""
    feedback_incorrect_threshold: int | None = Field(None, ge=1)
    """Wrong answers after which an entry is deleted; None: never."""
    feedback_boost_factor: float = Field(0.0, ge=0.0, le=1.0)
    """By how much correct feedback lifts an entry in the semantic and fuzzy tiers, at most."""
    on_store_error: Literal["error", "miss"] = "error"
    """What a search gives when the store fails: a hit with strategy ERROR, or an honest miss that carries
    the reason in `error`. Either is counted as an error."""
    l1_cache_max_size: int = Field(1000, ge=0)
    """Hits kept ready in memory; 0 turns the first tier off."""
    embedding_timeout: float | None = Field(None, gt=0)
    """Seconds an embedding may take."""

    @property
    def semantic_threshold(self) -> float:
        """Cosine from which the semantic tier answers.

        `score_threshold_semantic` where it was set or the guard is off; else the guard, which tells near
        misses apart at any score, reaches down to `score_threshold_guarded`.
        """
        if self.guard == "off" or "score_threshold_semantic" in self.model_fields_set:
            return self.score_threshold_semantic
        return min(self.score_threshold_guarded, self.score_threshold_semantic)

    @model_validator(mode="after")
    def _judge_has_a_band(self) -> Self:
        if self.judge_from >= self.judge_to:
            raise ValueError(
                f"judge_from ({self.judge_from}) must be below judge_to ({self.judge_to}): "
                "the judge is asked about what lies between them"
            )
        return self

    @model_validator(mode="after")
    def _semantic_below_exact(self) -> Self:
        if self.score_threshold_semantic >= self.score_threshold_exact:
            raise ValueError(
                f"score_threshold_semantic ({self.score_threshold_semantic}) must be below "
                f"score_threshold_exact ({self.score_threshold_exact})"
            )
        return self


class _Index(BaseSettings):
    """Vector indexes: the native one, and those of other engines where it says so."""

    hnsw_m: int = Field(16, ge=4, le=64)
    hnsw_ef_construct: int = Field(100, ge=50, le=500)
    enable_quantization: bool = True
    quantization_type: Literal["scalar", "binary"] = "scalar"
    """Of the codes in the index: `scalar` (8 bits a number) or `binary` (one)."""
    quantization_rescore: bool = True
    """Qdrant only, as the four below: the native index ranks its candidates by exact vectors always."""
    quantization_oversampling: float | None = Field(None, ge=1.0)
    quantization_ignore: bool = False
    quantization_always_ram: bool = True
    on_disk: bool = False
    index_tier: Literal["auto", "scan", "graph"] = "auto"
    """Where vectors are searched: `auto` scans while that is faster than the graph."""


class _Limits(BaseSettings):
    """Sizes, files, times."""

    path: Path | None = None
    """Directory of the embedded store; None keeps everything in memory."""
    synchronous: Literal["NORMAL", "FULL"] = "NORMAL"
    """SQLite's `synchronous`: FULL survives a power cut, NORMAL any kill of the process."""
    on_conflict: Literal["replace", "keep_both", "error"] = "replace"
    """When another query is stored for a question; with `keep_both` the newest answers."""
    checkpoint_changes: int = Field(10_000, ge=1)
    """Changes after which the index files are brought up to date in the background, ..."""
    compact_above: float = Field(0.3, gt=0.0, le=1.0)
    """... and the share of tombstones above which a graph is built anew there."""
    max_entries: int | None = Field(None, ge=1)
    """Entries a collection may hold; None for any number."""
    eviction: Literal["recency", "use"] = "recency"
    """What makes room: the entry that was not used for the longest time, or the one used least."""
    template_file: str | None = None
    """JSON file of templates, read at start where none are given."""
    embedding_cache_path: str | None = None
    """File in which vectors are kept for the next process; None keeps them in memory only."""
    allowed_file_dir: str | None = None
    """When set, files are only read and written below this directory."""
    max_file_size_mb: int = Field(100, ge=1, le=10_000)
    max_question_length: int = Field(8192, ge=64, le=1_000_000)
    validate_on_start: bool = True
    default_ttl_seconds: int | None = Field(None, ge=1)
    cleanup_interval_seconds: int | None = Field(None, ge=60)
    """Seconds after which expired entries are deleted in the background, again and again; None: never."""
    batch_size: int = Field(100, ge=1, le=10_000)
    """Entries that are embedded in one call and stored in one transaction."""
    batch_embed_concurrency: int = Field(1, ge=1, le=10)
    """Batches that are embedded at the same time."""
    log_questions: bool = True
    """Whether questions and queries may be logged, which happens at DEBUG only."""
    collect_stats: bool = True
    stats_max_latency_samples: int = Field(10_000, ge=100, le=1_000_000)
    stats_persist_interval: int = Field(100, ge=1)
    """Requests after which counts are added to those kept with the collection."""


class _Embedders(BaseSettings):
    """Which embedder the command line builds."""

    embedder_type: EmbedderType = "onnx"
    collection: str = "default"
    fastembed_model: str = "BAAI/bge-small-en-v1.5"
    oai_compat_base_url: str = "http://localhost:11434/v1"
    oai_compat_model: str = "nomic-embed-text"
    oai_compat_api_key: SecretStr | None = None
    mistral_api_key: SecretStr | None = None
    mistral_model: str = "mistral-embed"
    mistral_batch_size: int = Field(50, ge=1, le=512)


class _Qdrant(BaseSettings):
    qdrant_mode: Literal["memory", "edge", "docker", "cloud"] = "memory"
    qdrant_path: str | None = None
    """Directory of mode "memory"; None forgets on close."""
    qdrant_host: str = "localhost"
    qdrant_port: int = 6333
    qdrant_url: str | None = None
    qdrant_api_key: SecretStr | None = None


class _Postgres(BaseSettings):
    pg_dsn: SecretStr | None = None
    pg_host: str = "localhost"
    pg_port: int = 5432
    pg_database: str = "medha"
    pg_user: str = "postgres"
    pg_password: SecretStr | None = None
    pg_schema: str = "public"
    pg_table_prefix: str = "medha"
    pg_pool_min_size: int = Field(2, ge=1)
    pg_pool_max_size: int = Field(10, ge=1)
    vc_lists: list[int] = Field(default=[1000])
    vc_residual_quantization: bool = True

    @field_validator("pg_schema", "pg_table_prefix")
    @classmethod
    def _identifier(cls, value: str) -> str:
        if not _IDENTIFIER.fullmatch(value):
            raise ValueError(f"expected a plain SQL identifier of at most 63 characters, got {value!r}")
        return value

    @model_validator(mode="after")
    def _pool_sizes(self) -> Self:
        if self.pg_pool_max_size < self.pg_pool_min_size:
            raise ValueError(
                f"pg_pool_max_size ({self.pg_pool_max_size}) must not be below "
                f"pg_pool_min_size ({self.pg_pool_min_size})"
            )
        return self


class _Weaviate(BaseSettings):
    weaviate_mode: Literal["local", "cloud"] = "local"
    weaviate_host: str = "localhost"
    weaviate_http_port: int = 8080
    weaviate_grpc_port: int = 50051
    weaviate_http_secure: bool = False
    weaviate_grpc_secure: bool = False
    weaviate_cloud_url: str | None = None
    weaviate_api_key: SecretStr | None = None
    weaviate_collection_prefix: str = "Medha"


class _Redis(BaseSettings):
    redis_mode: Literal["standalone", "sentinel"] = "standalone"
    redis_url: str | None = None
    redis_host: str = "localhost"
    redis_port: int = 6379
    redis_db: int = 0
    redis_username: str | None = None
    redis_password: SecretStr | None = None
    redis_ssl: bool = False
    redis_ssl_certfile: str | None = None
    redis_ssl_keyfile: str | None = None
    redis_ssl_ca_certs: str | None = None
    redis_sentinel_hosts: list[str] = Field(default=[])
    redis_sentinel_master: str = "mymaster"
    redis_key_prefix: str = "medha"
    redis_index_algorithm: Literal["HNSW", "FLAT"] = "HNSW"
    redis_hnsw_m: int = 16
    redis_hnsw_ef_construction: int = 200
    redis_hnsw_ef_runtime: int = 10
    redis_socket_timeout: float = 5.0
    redis_socket_connect_timeout: float = 5.0


class _OtherEngines(BaseSettings):
    chroma_mode: Literal["ephemeral", "persistent", "http"] = "ephemeral"
    chroma_host: str = "localhost"
    chroma_port: int = 8000
    chroma_persist_path: str = "./chroma_data"
    chroma_ssl: bool = False
    chroma_auth_token: SecretStr | None = None
    lancedb_uri: str = "./lancedb_data"
    lancedb_table_prefix: str = "medha"
    lancedb_metric: Literal["cosine", "l2", "dot"] = "cosine"
    azure_search_endpoint: str = ""
    azure_search_api_key: SecretStr | None = None
    azure_search_api_version: str = "2024-05-01-preview"
    azure_search_index_name: str = "medha"
    azure_search_top_k_candidates: int = 50
    es_hosts: list[str] = Field(default=["http://localhost:9200"])
    es_api_key: SecretStr | None = None
    es_username: str | None = None
    es_password: SecretStr | None = None
    es_index_prefix: str = "medha"
    es_num_candidates: int = 100
    es_timeout: float = 30.0


class Settings(_Search, _Index, _Limits, _Embedders, _Qdrant, _Postgres, _Weaviate, _Redis, _OtherEngines):
    """All settings of a cache.

    A value comes from the first of: the argument, the environment variable
    `MEDHA_<NAME>`, the line in a file `.env` of the working directory, the
    default. `Settings(_env_file=None)` leaves `.env` unread. Unknown names are
    ignored. A value out of range raises `pydantic.ValidationError`, a
    `ValueError`.
    """

    model_config = SettingsConfigDict(
        env_prefix="MEDHA_", env_file=".env", env_file_encoding="utf-8", extra="ignore"
    )

    backend_type: BackendType = "native"
