# What programs in Python ask of a schema: its tables and columns by SQLAlchemy, rows by pandas.
import sys

import pandas
import sqlalchemy

url, schema = sys.argv[1], sys.argv[2]
engine = sqlalchemy.create_engine(url)
inspector = sqlalchemy.inspect(engine)
if inspector.default_schema_name != schema:
    sys.exit(f"the default schema is {inspector.default_schema_name}")
meta = sqlalchemy.MetaData()
meta.reflect(engine, views=True)
for name, table in sorted(meta.tables.items()):
    odd = [c.name for c in table.columns if isinstance(c.type, sqlalchemy.types.NullType)]
    if odd:
        sys.exit(f"{name}: columns of no known type: {odd}")
    with engine.connect() as connection:
        n = connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(table)).scalar_one()
        rows = connection.execution_options(stream_results=True, yield_per=100).execute(table.select().limit(250)).all()
        frame = pandas.read_sql(table.select().limit(1000), connection)
    if len(rows) != min(n, 250) or len(frame) != min(n, 1000) or list(frame.columns) != [c.name for c in table.columns]:
        sys.exit(f"{name}: {n} rows, {len(rows)} by a cursor, {len(frame)} in a frame")
    print(name, n)
