CREATE TABLE IF NOT EXISTS {TABLE} (
    id text NOT NULL,
    namespace text NOT NULL,
    document_id text NOT NULL,
    content text NOT NULL,
    position integer NOT NULL,
    metadata jsonb NOT NULL DEFAULT '{}',
    content_hash text NOT NULL,
    embedding vector({DIMENSIONS}) NOT NULL,
    embedding_model text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (namespace, id)
);
CREATE INDEX IF NOT EXISTS {INDEX_DOCUMENT} ON {TABLE} (namespace, document_id);
CREATE INDEX IF NOT EXISTS {INDEX_METADATA} ON {TABLE} USING gin (metadata jsonb_path_ops);
CREATE INDEX IF NOT EXISTS {INDEX_EMBEDDING} ON {TABLE} USING hnsw ({INDEXED} {OPERATORS})
    WITH (m = {HNSW_M}, ef_construction = {HNSW_EF_CONSTRUCTION});
