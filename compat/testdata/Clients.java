// What programs by JDBC ask of a schema: its tables and columns by the driver's metadata, rows by prepared statements and
// by a cursor.
import java.sql.*;
import java.util.*;

class Clients {
	public static void main(String[] args) throws Exception {
		String schema = args[3];
		try (Connection c = DriverManager.getConnection(args[0], args[1], args[2])) {
			c.setAutoCommit(false); // a cursor needs a transaction
			List<String> tables = new ArrayList<>();
			try (ResultSet r = c.getMetaData().getTables(null, schema, "%", new String[] {"TABLE", "VIEW"})) {
				while (r.next()) {
					if (r.getString("REMARKS") != null) { // what has none helps the others
						tables.add(r.getString("TABLE_NAME"));
					}
				}
			}
			for (String table : tables) {
				int columns = 0;
				try (ResultSet r = c.getMetaData().getColumns(null, schema, table, "%")) {
					for (; r.next(); columns++) {
						if (r.getString("TYPE_NAME") == null || r.getString("REMARKS") == null) {
							throw new Exception(table + "." + r.getString("COLUMN_NAME") + " has no type, or no comment");
						}
					}
				}
				long n;
				try (Statement s = c.createStatement(); ResultSet r = s.executeQuery("select count(*) from \"" + table + "\"")) {
					r.next();
					n = r.getLong(1);
				}
				int rows = 0;
				try (PreparedStatement s = c.prepareStatement("select * from \"" + table + "\" limit ?")) {
					s.setFetchSize(50);
					s.setInt(1, 250);
					try (ResultSet r = s.executeQuery()) {
						if (r.getMetaData().getColumnCount() != columns) {
							throw new Exception(table + ": the metadata has " + columns + " columns");
						}
						for (; r.next(); rows++) {
							for (int i = 1; i <= columns; i++) {
								r.getObject(i);
							}
						}
					}
				}
				if (columns == 0 || rows != Math.min(n, 250)) {
					throw new Exception(table + ": " + n + " rows, " + rows + " by a cursor");
				}
				System.out.println(table + " " + n);
			}
		}
	}
}
