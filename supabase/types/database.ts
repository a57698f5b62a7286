// Written by make types; a test compares.
export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[]

export type Database = {

  "public": {
          Tables: {
            "electricity_readings": {
                  Row: {
                    "created_at": string | null,"date": string,"id": string,"kwh_value": number,"meter_photo_url": string | null,"notes": string | null,"token_amount": number | null,"token_cost": number | null,"user_id": string
                  }
                  ComputedFields: never
                  Insert: {
                    "created_at"?: string | null,"date": string,"id"?: string,"kwh_value": number,"meter_photo_url"?: string | null,"notes"?: string | null,"token_amount"?: number | null,"token_cost"?: number | null,"user_id": string
                  }
                  Update: {
                    "created_at"?: string | null,"date"?: string,"id"?: string,"kwh_value"?: number,"meter_photo_url"?: string | null,"notes"?: string | null,"token_amount"?: number | null,"token_cost"?: number | null,"user_id"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "electricity_readings_user_id_fkey"
      columns: ["user_id"]
isOneToOne: false
      referencedRelation: "user_profiles"
      referencedColumns: ["id"]
    }
                  ]
                },"recalculation_batches": {
                  Row: {
                    "affected_events": NonNullable<Json>,"can_rollback_until": string | null,"created_at": string | null,"created_by": string | null,"events_count": number,"id": string,"rollback_reason": string | null,"rolled_back_at": string | null,"trigger_event_id": string | null,"trigger_type": string,"user_id": string
                  }
                  ComputedFields: never
                  Insert: {
                    "affected_events": NonNullable<Json>,"can_rollback_until"?: string | null,"created_at"?: string | null,"created_by"?: string | null,"events_count": number,"id"?: string,"rollback_reason"?: string | null,"rolled_back_at"?: string | null,"trigger_event_id"?: string | null,"trigger_type": string,"user_id": string
                  }
                  Update: {
                    "affected_events"?: NonNullable<Json>,"can_rollback_until"?: string | null,"created_at"?: string | null,"created_by"?: string | null,"events_count"?: number,"id"?: string,"rollback_reason"?: string | null,"rolled_back_at"?: string | null,"trigger_event_id"?: string | null,"trigger_type"?: string,"user_id"?: string
                  }
                  Relationships: [
                    {
      foreignKeyName: "recalculation_batches_user_id_fkey"
      columns: ["user_id"]
isOneToOne: false
      referencedRelation: "user_profiles"
      referencedColumns: ["id"]
    }
                  ]
                },"token_events": {
                  Row: {
                    "created_at": string,"created_by": string | null,"event_date": string,"event_type": string,"id": string,"idempotency_key": string | null,"is_voided": boolean,"kwh_amount": number,"legacy_token_amount": number | null,"metadata": Json | null,"meter_photo_url": string | null,"notes": string | null,"observed_kwh": number | null,"reading_id": string | null,"recalc_batch_id": string | null,"token_cost": number | null,"user_id": string,"void_of_event": string | null,"voided_at": string | null,"voided_by": string | null,"voided_reason": string | null
                  }
                  ComputedFields: never
                  Insert: {
                    "created_at"?: string,"created_by"?: string | null,"event_date": string,"event_type": string,"id"?: string,"idempotency_key"?: string | null,"is_voided"?: boolean,"kwh_amount": number,"legacy_token_amount"?: number | null,"metadata"?: Json | null,"meter_photo_url"?: string | null,"notes"?: string | null,"observed_kwh"?: number | null,"reading_id"?: string | null,"recalc_batch_id"?: string | null,"token_cost"?: number | null,"user_id": string,"void_of_event"?: string | null,"voided_at"?: string | null,"voided_by"?: string | null,"voided_reason"?: string | null
                  }
                  Update: {
                    "created_at"?: string,"created_by"?: string | null,"event_date"?: string,"event_type"?: string,"id"?: string,"idempotency_key"?: string | null,"is_voided"?: boolean,"kwh_amount"?: number,"legacy_token_amount"?: number | null,"metadata"?: Json | null,"meter_photo_url"?: string | null,"notes"?: string | null,"observed_kwh"?: number | null,"reading_id"?: string | null,"recalc_batch_id"?: string | null,"token_cost"?: number | null,"user_id"?: string,"void_of_event"?: string | null,"voided_at"?: string | null,"voided_by"?: string | null,"voided_reason"?: string | null
                  }
                  Relationships: [
                    {
      foreignKeyName: "token_events_user_id_fkey"
      columns: ["user_id"]
isOneToOne: false
      referencedRelation: "user_profiles"
      referencedColumns: ["id"]
    },{
      foreignKeyName: "token_events_void_of_event_tenant_fkey"
      columns: ["user_id","void_of_event"]
isOneToOne: false
      referencedRelation: "token_events"
      referencedColumns: ["user_id","id"]
    }
                  ]
                },"user_profiles": {
                  Row: {
                    "created_at": string | null,"display_name": string | null,"id": string,"last_login": string | null,"role": string | null,"status": string | null,"tariff_settings": Json | null,"updated_at": string | null
                  }
                  ComputedFields: never
                  Insert: {
                    "created_at"?: string | null,"display_name"?: string | null,"id": string,"last_login"?: string | null,"role"?: string | null,"status"?: string | null,"tariff_settings"?: Json | null,"updated_at"?: string | null
                  }
                  Update: {
                    "created_at"?: string | null,"display_name"?: string | null,"id"?: string,"last_login"?: string | null,"role"?: string | null,"status"?: string | null,"tariff_settings"?: Json | null,"updated_at"?: string | null
                  }
                  Relationships: [

                  ]
                }
          }
          Views: {
            "electricity_readings_mv": {
                  Row: {
                    "created_at": string,"date": string | null,"id": string | null,"kwh_value": number | null,"meter_photo_url": string | null,"notes": string | null,"token_amount": number | null,"token_cost": number | null,"user_id": string
                  }
                  ComputedFields: never
                  Relationships: [
                    {
      foreignKeyName: "token_events_user_id_fkey"
      columns: ["user_id"]
isOneToOne: false
      referencedRelation: "user_profiles"
      referencedColumns: ["id"]
    }
                  ]
                },"electricity_readings_v": {
                  Row: {
                    "created_at": string,"date": string,"id": string,"kwh_value": number,"meter_photo_url": string | null,"notes": string | null,"token_amount": number | null,"token_cost": number | null,"user_id": string
                  }
                  ComputedFields: never
                  Insert: {
                           "created_at"?: string | null,"date"?: string | null,"id"?: string | null,"kwh_value"?: number | null,"meter_photo_url"?: string | null,"notes"?: string | null,"token_amount"?: number | null,"token_cost"?: number | null,"user_id"?: string | null
                         }
                        Update: {
                           "created_at"?: string | null,"date"?: string | null,"id"?: string | null,"kwh_value"?: number | null,"meter_photo_url"?: string | null,"notes"?: string | null,"token_amount"?: number | null,"token_cost"?: number | null,"user_id"?: string | null
                         }
                        Relationships: [

                  ]
                }
          }
          Functions: {
            "audit_readings":
{ Args: { "p_budget_ms"?: number,"p_trigger"?: string }; Returns: Json
                           },
"calculate_user_positions":
{ Args: { "p_user_id": string }; Returns: {
              "calculated_position": number,"created_at": string,"daily_consumption": number,"event_date": string,"event_id": string,"event_type": string,"is_topup": boolean,"kwh_amount": number,"meter_photo_url": string,"notes": string,"token_cost": number,"user_id": string
            }[]
                           },
"ledger_health":
{ Args: { "p_stale_seconds"?: number }; Returns: Json
                           },
"preview_backdate":
{ Args: { "p_event_date"?: string,"p_event_type": string,"p_kwh_amount": number,"p_observed_kwh"?: number }; Returns: Json
                           },
"prune_ledger":
{ Args: { "p_limit"?: number }; Returns: Json
                           },
"recalculate":
{ Args: { "p_event_id": string,"p_idempotency_key"?: string }; Returns: Json
                           },
"record_event":
{ Args: { "p_event_date"?: string,"p_event_type": string,"p_idempotency_key"?: string,"p_kwh_amount": number,"p_metadata"?: Json,"p_meter_photo_url"?: string,"p_notes"?: string,"p_observed_kwh"?: number,"p_token_cost"?: number }; Returns: Json
                           },
"refresh_readings":
{ Args: { "p_deadline_ms"?: number,"p_force"?: boolean,"p_trigger"?: string }; Returns: Json
                           },
"refresh_readings_mv":
{ Args: Record<PropertyKey, never>; Returns: Json
                           },
"replace_event":
{ Args: { "p_changes": Json,"p_event_id": string,"p_idempotency_key"?: string,"p_reason"?: string }; Returns: Json
                           },
"rollback_recalculation":
{ Args: { "p_batch_id": string,"p_idempotency_key"?: string,"p_reason"?: string }; Returns: Json
                           },
"void_event":
{ Args: { "p_event_id": string,"p_idempotency_key"?: string,"p_reason"?: string }; Returns: Json
                           }
          }
          Enums: {
            [_ in never]: never
          }
          CompositeTypes: {
            [_ in never]: never
          }
        }
}

type DatabaseWithoutInternals = Omit<Database, '__InternalSupabase'>

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, "public">]

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
        DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])
    : never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? (DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"] &
      DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Views"])[TableName] extends {
      Row: infer R
    }
    ? R
    : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema["Tables"] & DefaultSchema["Views"])
  ? (DefaultSchema["Tables"] & DefaultSchema["Views"])[DefaultSchemaTableNameOrOptions] extends {
      Row: infer R
    }
    ? R
    : never
  : never

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Insert: infer I
    }
    ? I
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
  ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Insert: infer I
    }
    ? I
    : never
  : never

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema["Tables"]
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"]
    : never = never
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions["schema"]]["Tables"][TableName] extends {
      Update: infer U
    }
    ? U
    : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema["Tables"]
  ? DefaultSchema["Tables"][DefaultSchemaTableNameOrOptions] extends {
      Update: infer U
    }
    ? U
    : never
  : never

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema["Enums"]
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"]
    : never = never
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions["schema"]]["Enums"][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema["Enums"]
  ? DefaultSchema["Enums"][DefaultSchemaEnumNameOrOptions]
  : never

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema["CompositeTypes"]
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals
  }
    ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"]
    : never = never
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions["schema"]]["CompositeTypes"][CompositeTypeName]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema["CompositeTypes"]
  ? DefaultSchema["CompositeTypes"][PublicCompositeTypeNameOrOptions]
  : never

export const Constants = {
  "public": {
          Enums: {

          }
        }
} as const
